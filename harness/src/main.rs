//! `hnsw-lab`: measure how many cores can share one HNSW graph.

fn main() -> std::process::ExitCode {
    hnsw_lab::cli::main()
}
