//! What macOS says about itself, through `sysctl`.

use super::{Machine, digest};

/// Asks the system for one value.
#[cfg(target_os = "macos")]
pub fn ask(name: &str) -> Option<String> {
    let output = std::process::Command::new("/usr/sbin/sysctl").args(["-n", name]).output().ok()?;
    let text = String::from_utf8(output.stdout).ok()?.trim().to_owned();
    (output.status.success() && !text.is_empty()).then_some(text)
}

/// Fills in what `ask` answers.
pub fn complete(machine: Machine, ask: impl Fn(&str) -> Option<String>) -> Machine {
    let count = |name| ask(name)?.parse::<usize>().ok().filter(|&count| count > 0);
    let cores = count("hw.physicalcpu");
    let logical = count("hw.logicalcpu");
    Machine {
        cpu_model: ask("machdep.cpu.brand_string"),
        vendor: ask("machdep.cpu.vendor").or_else(|| Some("Apple".to_owned())),
        logical_cpus: logical.unwrap_or(machine.logical_cpus),
        sockets: count("hw.packages"),
        cores,
        smt: logical.zip(cores).map(|(logical, cores)| logical.div_ceil(cores)),
        memory_bytes: ask("hw.memsize").and_then(|bytes| bytes.parse().ok()),
        kernel: ask("kern.osrelease"),
        os: ask("kern.osproductversion").map(|version| format!("macOS {version}")),
        hypervisor: ask("kern.hv_vmm_present").filter(|present| present == "1").map(|_| "unnamed".to_owned()),
        hostname_hash: ask("kern.hostname").map(|name| digest(&name)),
        ..machine
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_fill_the_gaps_and_silence_leaves_them() {
        let answers = |name: &str| {
            let value = match name {
                "machdep.cpu.brand_string" => "Apple M2",
                "hw.physicalcpu" | "hw.logicalcpu" => "8",
                "hw.memsize" => "17179869184",
                "hw.packages" => "nonsense",
                _ => return None,
            };
            Some(value.to_owned())
        };
        let machine = complete(Machine::default(), answers);
        assert_eq!(machine.cpu_model.as_deref(), Some("Apple M2"));
        assert_eq!((machine.logical_cpus, machine.cores, machine.smt), (8, Some(8), Some(1)));
        assert_eq!(machine.memory_bytes, Some(16 << 30));
        assert_eq!((machine.sockets, machine.kernel), (None, None));
    }
}
