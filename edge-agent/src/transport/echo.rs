//! Takes a line's own echo out of what is received: on two wires, some adapters hear what they send.
//! Pure. Never takes out anything but an exact copy of what was sent, and only right behind it.

/// Whether a line hears itself.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Echo {
    /// Found out at the first request whose answer cannot look like the request.
    #[default]
    Auto,
    /// It does.
    On,
    /// It does not.
    Off,
}

/// The filter of one open port.
#[derive(Debug)]
pub(super) struct Filter {
    echo: Echo,
    /// What `Echo::Auto` has found out.
    found: Option<bool>,
    /// What was sent last, as far as it is still awaited.
    awaited: Option<Awaited>,
}

#[derive(Debug)]
struct Awaited {
    sent: Vec<u8>,
    /// How many of its bytes have come back.
    matched: usize,
}

impl Filter {
    pub(super) const fn new(echo: Echo) -> Self {
        Self {
            echo,
            found: None,
            awaited: None,
        }
    }

    /// Takes note of what is sent. An echo that never came whole is given up.
    pub(super) fn sending(&mut self, bytes: &[u8], mirrored: bool) {
        let awaited = match (self.echo, self.found) {
            (Echo::Off, _) | (Echo::Auto, Some(false)) => false,
            (Echo::On, _) | (Echo::Auto, Some(true)) => true,
            (Echo::Auto, None) => !mirrored,
        };
        self.awaited = awaited.then(|| Awaited {
            sent: bytes.to_vec(),
            matched: 0,
        });
    }

    /// Hands on what is no echo.
    pub(super) fn received(&mut self, bytes: &[u8], into: &mut Vec<u8>) {
        let mut rest = bytes;
        while let Some(awaited) = &mut self.awaited {
            let Some((first, others)) = rest.split_first() else {
                return;
            };
            if awaited.sent.get(awaited.matched) == Some(first) {
                awaited.matched += 1;
                rest = others;
                if awaited.matched == awaited.sent.len() {
                    self.found = Some(true);
                    self.awaited = None;
                }
            } else {
                // What looked like the beginning of an echo was the beginning of an answer.
                let held = awaited.sent.get(..awaited.matched).unwrap_or_default();
                into.extend_from_slice(held);
                self.found = self.found.or(Some(false));
                self.awaited = None;
            }
        }
        into.extend_from_slice(rest);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn exchange(filter: &mut Filter, sent: &[u8], mirrored: bool, parts: &[&[u8]]) -> Vec<u8> {
        filter.sending(sent, mirrored);
        let mut out = Vec::new();
        for part in parts {
            filter.received(part, &mut out);
        }
        out
    }

    #[test]
    fn an_echo_is_found_at_the_first_request_and_taken_out_in_whatever_parts_it_comes() {
        let mut filter = Filter::new(Echo::Auto);
        let parts: [&[u8]; 3] = [b"\x01", b"\x03\x00\x01", b"\x03\x02"];
        assert_eq!(
            exchange(&mut filter, b"\x01\x03\x00", false, &parts),
            b"\x01\x03\x02"
        );
        // Known by now: also where the answer looks like the request.
        assert_eq!(
            exchange(&mut filter, b"abc", true, &[b"abc", b"abc"]),
            b"abc"
        );
        assert_eq!(exchange(&mut filter, b"abc", true, &[b"abc"]), b"");
    }

    #[test]
    fn without_an_echo_nothing_is_taken_out() {
        let mut filter = Filter::new(Echo::Auto);
        // Nothing is known yet, and the answer looks like the request.
        assert_eq!(exchange(&mut filter, b"abc", true, &[b"abc"]), b"abc");
        // The answer begins like the request.
        assert_eq!(exchange(&mut filter, b"abc", false, &[b"a", b"bX"]), b"abX");
        assert_eq!(exchange(&mut filter, b"abc", false, &[b"abc"]), b"abc");
    }

    #[test]
    fn switched_off_it_does_nothing_and_switched_on_it_also_bears_a_missing_echo() {
        let mut off = Filter::new(Echo::Off);
        assert_eq!(exchange(&mut off, b"abc", false, &[b"abc"]), b"abc");
        let mut on = Filter::new(Echo::On);
        assert_eq!(exchange(&mut on, b"abc", true, &[b"abcd"]), b"d");
        assert_eq!(exchange(&mut on, b"abc", true, &[b"xyz"]), b"xyz");
        assert_eq!(exchange(&mut on, b"abc", true, &[b"abc", b"z"]), b"z");
    }
}
