//! Processor time of processes, as the kernel counts it.

use std::time::Duration;

/// Ticks of the times that the kernel shows, per second: `USER_HZ` of Linux.
const TICKS_PER_SECOND: f64 = 100.0;

/// Processor time that these processes have used so far. One that is gone counts nothing.
pub(super) fn spent(processes: &[u32]) -> Duration {
    let ticks = processes.iter().filter_map(|process| {
        let text = std::fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
        ticks(&text)
    });
    Duration::from_secs_f64(ticks.sum::<f64>() / TICKS_PER_SECOND)
}

/// Time in the process and in the kernel for it, of a line of `/proc/PID/stat`.
fn ticks(stat: &str) -> Option<f64> {
    // The name before may hold anything, parentheses too.
    let (_, fields) = stat.rsplit_once(')')?;
    let mut fields = fields.split_whitespace().skip(11);
    let mut field = || fields.next()?.parse::<f64>().ok();
    Some(field()? + field()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_read_behind_a_name_of_any_form() {
        let line = "7 (a) b (c) S 1 7 7 0 -1 4194560 90 0 0 0 30 12 0 0 20 0 3 0 5 6 7";
        assert_eq!(ticks(line), Some(42.0));
        assert_eq!(ticks("7 (cut) S 1"), None);
    }

    #[test]
    fn work_of_this_process_is_counted() {
        let me = [std::process::id()];
        let before = spent(&me);
        let mut number = 1_u64;
        while spent(&me) < before + Duration::from_millis(20) {
            number = (0..100_000).fold(number, |sum, next| std::hint::black_box(sum ^ next));
        }
        assert!(spent(&me) > before);
    }
}
