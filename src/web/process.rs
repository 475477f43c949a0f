//! What the system says of this process, for `GET /metrics`: from `/proc`, on Linux. Elsewhere nothing is told.

/// Ticks a second of the times in `/proc`: what Linux tells programs, whatever its own clock is.
const TICKS: f64 = 100.0;

/// A process.
#[derive(Clone, Debug, PartialEq)]
pub struct Process {
    /// Seconds of processors so far.
    pub cpu_seconds: f64,
    /// Memory in use.
    pub resident_bytes: u64,
    /// Open file descriptors.
    pub open_fds: u64,
    /// How many there may be; `None` is no limit.
    pub max_fds: Option<u64>,
    /// When it began, in seconds since 1970.
    pub start_seconds: f64,
}

/// This process; `None` where there is no such `/proc`. Reads files: not for a task.
pub fn look() -> Option<Process> {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let fds = std::fs::read_dir("/proc/self/fd").ok()?.count() as u64;
    let (stat, status) = (read("/proc/self/stat")?, read("/proc/self/status")?);
    // One of them is the directory that was read.
    parse(&stat, &status, &read("/proc/self/limits")?, &read("/proc/stat")?, fds.saturating_sub(1))
}

fn parse(stat: &str, status: &str, limits: &str, system: &str, open_fds: u64) -> Option<Process> {
    // The name in brackets may hold anything, brackets too.
    let fields: Vec<&str> = stat.get(stat.rfind(')')? + 1..)?.split_whitespace().collect();
    // proc(5) numbers them from 1; the first after the name is the third.
    let field = |number: usize| fields.get(number - 3)?.parse::<u64>().ok();
    let boot: u64 = line(system, "btime ")?.parse().ok()?;
    let resident: u64 = line(status, "VmRSS:")?.strip_suffix("kB")?.trim().parse().ok()?;
    let most = line(limits, "Max open files")?.split_whitespace().next()?;
    Some(Process {
        cpu_seconds: (field(14)? + field(15)?) as f64 / TICKS,
        resident_bytes: resident * 1024,
        open_fds,
        max_fds: most.parse().ok(),
        start_seconds: boot as f64 + field(22)? as f64 / TICKS,
    })
}

fn line<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    text.lines().find_map(|line| line.strip_prefix(name)).map(str::trim)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a) b) S 1 42 42 0 -1 4194560 900 0 0 0 150 50 0 0 20 0 9 0 5000 1000000 300 184467 1 1 0 0";
    const STATUS: &str = "Name:\tfilbert\nVmRSS:\t   12345 kB\nThreads:\t9\n";
    const SYSTEM: &str = "cpu  1 2 3\nbtime 1700000000\n";

    #[test]
    fn what_proc_says_is_read_whatever_the_name_is() {
        let limits =
            "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 4096  files\n";
        let expected = Process {
            cpu_seconds: 2.0,
            resident_bytes: 12345 * 1024,
            open_fds: 7,
            max_fds: Some(1024),
            start_seconds: 1_700_000_050.0,
        };
        assert_eq!(parse(STAT, STATUS, limits, SYSTEM, 7), Some(expected.clone()));
        let unlimited = "Max open files            unlimited            unlimited            files\n";
        let most = parse(STAT, STATUS, unlimited, SYSTEM, 7);
        assert_eq!(most, Some(Process { max_fds: None, ..expected }));
        for broken in ["", "42 (a", "42 (a) S 1"] {
            assert_eq!(parse(broken, STATUS, limits, SYSTEM, 7), None, "{broken}");
        }
        assert_eq!(parse(STAT, "", limits, SYSTEM, 7), None);
    }
}
