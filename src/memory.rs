//! How much memory there is: what cannot fit is refused before it is asked for.

use std::fmt;

use crate::error::{Error, Result};

/// So little is there, or nothing would run: the system is not asked.
pub(crate) const SMALL: u128 = 1 << 26;

/// Refuses what takes more memory than is available. `place` says where that was asked for, `what` what it is.
///
/// # Errors
/// Where `bytes` are more than there are.
pub(crate) fn afford(place: impl fmt::Display, what: &str, bytes: u128) -> Result<()> {
    if bytes <= SMALL {
        return Ok(());
    }
    let available = available();
    match bytes <= u128::from(available) {
        true => Ok(()),
        false => Err(Error::input(
            place,
            format!("{what} of at most {available} bytes, the memory that is available"),
            format!("{bytes} bytes"),
        )),
    }
}

/// Bytes that can be had without swapping: what Linux estimates, and what is left to the control group of the process. Where
/// the system does not tell, all that can be addressed.
pub(crate) fn available() -> u64 {
    let read = |path: &str| std::fs::read_to_string(path).ok();
    let machine = read("/proc/meminfo").and_then(|text| meminfo(&text));
    let number = |name: &str| read(&format!("/sys/fs/cgroup/memory.{name}"))?.trim().parse::<u64>().ok();
    let group = number("max").zip(number("current")).map(|(most, used)| most.saturating_sub(used));
    machine.into_iter().chain(group).min().unwrap_or(isize::MAX as u64)
}

/// `MemAvailable` of `/proc/meminfo`, which counts in units of 1024 bytes.
fn meminfo(text: &str) -> Option<u64> {
    let line = text.lines().find_map(|line| line.strip_prefix("MemAvailable:"))?;
    line.trim().strip_suffix("kB")?.trim().parse::<u64>().ok()?.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_cannot_fit_is_refused() {
        assert_eq!(afford("here", "tables", SMALL), Ok(()));
        let error = afford("here", "tables", u128::MAX).unwrap_err();
        assert!(error.is_input());
        let expected = "here: expected tables of at most ";
        let message = error.to_string();
        assert!(
            message.starts_with(expected) && message.ends_with(&format!("found {} bytes", u128::MAX)),
            "{message}"
        );
    }

    #[test]
    fn available_memory_is_read_from_what_linux_says() {
        let text = "MemTotal:       24689148 kB\nMemFree:          915164 kB\nMemAvailable:   22893440 kB\n";
        assert_eq!(meminfo(text), Some(22_893_440 * 1024));
        assert_eq!(meminfo("MemTotal: 5 kB\n"), None);
        assert_eq!(meminfo("MemAvailable: many kB\n"), None);
    }
}
