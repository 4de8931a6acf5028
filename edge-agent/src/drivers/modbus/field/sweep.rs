//! Which endpoints accept a TCP connection. A few at a time, so many new ones a second: plant networks
//! and their small devices are easily overrun. Never sends a byte.

use futures_util::StreamExt as _;
use futures_util::stream::FuturesUnordered;
use std::time::Duration;
use tokio::net::TcpStream;
use tokio::time::{MissedTickBehavior, interval, timeout};

/// Connections under way at the same time.
const AT_ONCE_MAX: usize = 16;

/// Those of `endpoints` (`HOST:PORT`) that accept within `longest`, in the order given. `progress` is
/// told how many were tried and how many accepted.
pub async fn sweep(
    endpoints: &[String],
    longest: Duration,
    per_second: u32,
    progress: &mut dyn FnMut(usize, usize),
) -> Vec<String> {
    let mut ticks = interval(Duration::from_secs(1) / per_second.max(1));
    // A slow moment must not be made up for by a burst.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut waiting = endpoints.iter().enumerate();
    let mut under_way = FuturesUnordered::new();
    let (mut done, mut open) = (0, Vec::new());
    let mut more = true;
    while more || !under_way.is_empty() {
        let may_start = more && under_way.len() < AT_ONCE_MAX;
        tokio::select! {
            _ = ticks.tick(), if may_start => match waiting.next() {
                Some((at, endpoint)) => under_way.push(async move {
                    let connected = timeout(longest, TcpStream::connect(endpoint)).await;
                    (at, endpoint, connected.is_ok_and(|connected| connected.is_ok()))
                }),
                None => more = false,
            },
            Some((at, endpoint, accepted)) = under_way.next() => {
                done += 1;
                if accepted {
                    open.push((at, endpoint.clone()));
                }
                progress(done, open.len());
            }
        }
    }
    open.sort();
    open.into_iter().map(|(_, endpoint)| endpoint).collect()
}
