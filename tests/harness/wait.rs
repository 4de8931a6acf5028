//! Waiting for a condition with a deadline. Never a bare sleep: every wait names what it waits for
//! and fails loudly when the deadline passes.

use anyhow::{Context as _, Result, bail};
use std::time::{Duration, Instant};

/// Time between two looks at a condition.
const LOOK_MS: u64 = 20;

/// Asks `look` until it gives a value, at most for `deadline`.
///
/// `look` answers `Ok(None)` for "not yet"; an `Err` also counts as "not yet", and the last one is
/// the cause that is told when the deadline passes.
pub fn wait_for<T>(
    what: &str,
    deadline: Duration,
    mut look: impl FnMut() -> Result<Option<T>>,
) -> Result<T> {
    let started = Instant::now();
    loop {
        let failure = match look() {
            Ok(Some(value)) => return Ok(value),
            Ok(None) => None,
            Err(error) => Some(error),
        };
        if started.elapsed() >= deadline {
            let words = format!("waited {deadline:?} in vain for: {what}");
            return match failure {
                Some(error) => Err(error).context(words),
                None => bail!(words),
            };
        }
        pause(Duration::from_millis(LOOK_MS));
    }
}

/// Lets `time` pass on this thread; for the rhythm of a look or of a load, never as a wait for
/// something to have happened.
pub fn pause(time: Duration) {
    let until = Instant::now() + time;
    while let Some(left) = until.checked_duration_since(Instant::now()) {
        if left.is_zero() {
            return;
        }
        std::thread::park_timeout(left);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn gives_the_value_as_soon_as_it_is_there() {
        let mut looks = 0;
        let value = wait_for("three looks", Duration::from_secs(5), || {
            looks += 1;
            Ok((looks == 3).then_some(looks))
        });
        assert_eq!(value.unwrap(), 3);
    }

    #[test]
    fn names_what_it_waited_for_and_the_last_error() {
        let error = wait_for::<()>("the moon", Duration::ZERO, || bail!("no rocket")).unwrap_err();
        let words = format!("{error:#}");
        assert!(
            words.contains("the moon") && words.contains("no rocket"),
            "{words}"
        );
    }
}
