//! How busy the machine is with other work: a figure without it says little.

/// The load over the last minute and the cores it is spread over, for a person. Unknown where the kernel does not say.
pub fn load() -> String {
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    let average = std::fs::read_to_string("/proc/loadavg")
        .ok()
        .and_then(|text| text.split_whitespace().next().map(str::to_owned));
    match average {
        Some(average) => format!("load {average} on {cores} cores"),
        None => format!("load unknown, {cores} cores"),
    }
}
