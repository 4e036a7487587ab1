# Shared by the scripts of this folder, which source it first: goes to the root of the workspace, runs steps, counts.
# Each script ends with the line `<tier>: N passed, N failed` and with exit code 1 if anything failed.
set -euo pipefail
cd "$(dirname "${BASH_SOURCE[0]}")/.."

tier=$(basename "$0")
passed=0
failed=0
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT

command -v cargo > /dev/null || {
    echo "error: cargo is missing; install Rust from https://rustup.rs" >&2
    echo "$tier: 0 passed, 1 failed"
    exit 1
}

# step NAME COMMAND…: runs a command, counts it as one, and shows what it printed only if it fails.
step() {
    local name=$1 begin=$SECONDS
    shift
    if "$@" > "$scratch/step" 2>&1; then
        passed=$((passed + 1))
        echo "ok    $name ($((SECONDS - begin)) s)"
    else
        failed=$((failed + 1))
        cat "$scratch/step"
        echo "FAIL  $name ($((SECONDS - begin)) s)"
    fi
}

# skip NAME WHY: says that a step was left out; it counts as neither.
skip() {
    echo "skip  $1: $2"
}

# tests COMMAND…: runs a command of the `cargo test` kind, shows what it prints, and counts its tests.
tests() {
    local status=0
    "$@" 2>&1 | tee "$scratch/tests" || status=$?
    count "$status" "$scratch/tests"
}

# count STATUS FILE: adds the tests that a command with this exit code counted in what it printed.
count() {
    local status=$1 ok bad
    read -r ok bad < <(awk '/^test result:/ { ok += $4; bad += $6 } END { print ok + 0, bad + 0 }' "$2")
    passed=$((passed + ok))
    failed=$((failed + bad))
    if [[ $status -ne 0 && $bad -eq 0 ]]; then
        # It did not compile, or died before it could count.
        failed=$((failed + 1))
    elif [[ $status -eq 0 && $ok -eq 0 ]]; then
        echo "error: no test ran"
        failed=$((failed + 1))
    fi
}

finish() {
    echo "$tier: $passed passed, $failed failed"
    exit $((failed > 0))
}
