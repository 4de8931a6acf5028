//! How complete the hub's record of a gateway is, and why not: a time, a number, a few words and
//! a track of the last 24 hours. Never asks the box: it tells what the hub knows.

use crate::store::{GatewayRow, Hole, Holes, LinkState, Store, StoreError, StreamHoles};
use crate::tenants::TenantScope;
use protocol::event::GapCause;
use protocol::time::Timestamp;
use std::collections::BTreeMap;

const DAY_US: i64 = 24 * 3_600 * 1_000_000;
/// Most spans of a track: the newest.
const SPANS_MAX: usize = 500;

/// Most gaps that are told in words, the newest.
const GAPS_IN_WORDS_MAX: usize = 3;

const ON_THE_BOX: &str = "still on the box, not received yet";
const AWAY: &str = "the gateway is away";
const GIVEN_UP: &str = "given up by the box";

/// How complete a gateway's record is.
#[derive(Clone, Debug, PartialEq)]
pub struct Completeness {
    /// Up to here nothing is missing that the box still has; `None` when nothing is held.
    pub complete_to: Option<Timestamp>,
    /// Polls that the box has and the hub has not, as far as the hub knows.
    pub missing: u64,
    /// In words for people.
    pub words: String,
    /// Begin of the track.
    pub from: Timestamp,
    /// The track, without holes, oldest first; empty when nothing was received.
    pub spans: Vec<CompletenessSpan>,
}

/// A part of the track.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CompletenessSpan {
    /// Begin.
    pub from: Timestamp,
    /// End.
    pub to: Timestamp,
    /// What is there.
    pub state: SpanState,
    /// Why not all; `None` when all is there.
    pub cause: Option<&'static str>,
}

/// What is there of a span.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SpanState {
    /// Everything.
    Complete,
    /// Not everything yet.
    Missing,
    /// Not everything, and it will not come.
    Gap,
}

impl SpanState {
    /// The word of the JSON interface.
    pub const fn word(self) -> &'static str {
        match self {
            Self::Complete => "complete",
            Self::Missing => "missing",
            Self::Gap => "gap",
        }
    }
}

/// How complete the record of a gateway is at `now`.
pub async fn completeness(
    store: &Store,
    scope: TenantScope,
    gateway: &GatewayRow,
    now: Timestamp,
) -> Result<Completeness, StoreError> {
    let day_ago = now.plus_micros(-DAY_US);
    let holes = store.holes(scope, gateway.id, day_ago).await?;
    Ok(judge(gateway, holes, now))
}

fn judge(gateway: &GatewayRow, mut holes: Holes, now: Timestamp) -> Completeness {
    give_up_what_is_gone(&mut holes);
    damage_reaches_back(&mut holes);
    let missing = holes
        .streams
        .iter()
        .flat_map(|stream| &stream.missing)
        .map(|hole| hole.polls)
        // What a box says of itself is not trusted to stay within reason.
        .fold(0, u64::saturating_add);
    // A box whose clock runs ahead does not make the record complete in the future.
    let complete_to = complete_to(&holes.streams).map(|at| at.min(now));
    let first = holes
        .streams
        .iter()
        .filter_map(|stream| stream.first_time)
        .min();
    let day_ago = now.plus_micros(-DAY_US);
    let from = first.unwrap_or(day_ago).clamp(day_ago, now);
    let spans = if first.is_some() {
        track(gateway, &holes, from, now)
    } else {
        Vec::new()
    };
    Completeness {
        complete_to,
        missing,
        words: words(gateway, &spans, (complete_to, missing), now),
        from,
        spans,
    }
}

/// What is missing of a stream that the box no longer holds went with the store that had it.
fn give_up_what_is_gone(holes: &mut Holes) {
    for stream in &mut holes.streams {
        if stream.gone {
            let gone = std::mem::take(&mut stream.missing);
            stream
                .lost
                .extend(gone.into_iter().filter(|hole| hole.to.is_some()));
        }
    }
}

/// A box whose store was damaged cannot say since when its readings are gone: what was read after
/// the last that the hub got before the damage was in that store.
fn damage_reaches_back(holes: &mut Holes) {
    let last_times = holes.streams.iter().filter_map(|stream| stream.last_time);
    let last_times: Vec<Timestamp> = last_times.collect();
    for gap in &mut holes.gaps {
        if gap.cause == GapCause::StoreDamaged {
            let before = last_times.iter().filter(|at| **at <= gap.to).max();
            gap.from = before.map_or(gap.from, |at| gap.from.min(*at));
        }
    }
}

fn complete_to(streams: &[StreamHoles]) -> Option<Timestamp> {
    let (behind, up_to_date): (Vec<_>, Vec<_>) = streams
        .iter()
        .partition(|stream| !stream.missing.is_empty());
    if behind.is_empty() {
        return up_to_date
            .iter()
            .filter_map(|stream| stream.last_time)
            .max();
    }
    // `None`, a stream of which the very first poll is missing, is less than any time.
    behind
        .iter()
        .map(|stream| stream.complete_to)
        .min()
        .flatten()
}

fn words(
    gateway: &GatewayRow,
    spans: &[CompletenessSpan],
    (complete_to, missing): (Option<Timestamp>, u64),
    now: Timestamp,
) -> String {
    let since = gateway
        .since
        .map(|since| clock_words(since, now))
        .unwrap_or_default();
    let mut parts = Vec::new();
    match gateway.link {
        LinkState::NeverSeen => return "not connected yet since it was enrolled".to_owned(),
        LinkState::Revoked => parts.push(format!("shut out since {since}")),
        LinkState::Away => parts.push(format!("away since {since}")),
        LinkState::Online => {}
    }
    match (complete_to, missing) {
        (None, 0) => parts.push("nothing received yet".to_owned()),
        (Some(at), _) => parts.push(format!("complete up to {}", clock_words(at, now))),
        (None, _) => {}
    }
    if missing > 0 {
        parts.push(format!("{} missing: {ON_THE_BOX}", polls(missing)));
    }
    parts.extend(gap_words(spans, now));
    parts.join("; ")
}

/// `missing 12:00:00 to 12:07:00 UTC: the agent was off`, the newest ones; how many more there are.
fn gap_words(spans: &[CompletenessSpan], now: Timestamp) -> Vec<String> {
    let gaps: Vec<_> = spans
        .iter()
        .filter(|span| span.state == SpanState::Gap)
        .collect();
    let earlier = gaps.len().saturating_sub(GAPS_IN_WORDS_MAX);
    let mut words: Vec<String> = Vec::new();
    if earlier > 0 {
        words.push(format!("{earlier} earlier gaps in the last 24 hours"));
    }
    for gap in gaps.into_iter().skip(earlier) {
        let (from, to) = (clock_words(gap.from, now), clock_words(gap.to, now));
        let from = from.strip_suffix(" UTC").unwrap_or(&from);
        let cause = gap.cause.unwrap_or(GIVEN_UP);
        words.push(format!("missing {from} to {to}: {cause}"));
    }
    words
}

fn polls(count: u64) -> String {
    if count == 1 {
        "1 poll".to_owned()
    } else {
        format!("{count} polls")
    }
}

/// `14:03:22 UTC`, with the day when it is not today's.
fn clock_words(at: Timestamp, now: Timestamp) -> String {
    let zoned = |at: Timestamp| {
        jiff::Timestamp::from_microsecond(at.0)
            .unwrap_or(jiff::Timestamp::UNIX_EPOCH)
            .to_zoned(jiff::tz::TimeZone::UTC)
    };
    let (at, now) = (zoned(at), zoned(now));
    if at.date() == now.date() {
        at.strftime("%H:%M:%S UTC").to_string()
    } else {
        at.strftime("%Y-%m-%d %H:%M:%S UTC").to_string()
    }
}

/// Why a part of the track is not complete; what stands first counts where two overlap.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Reason {
    Away,
    OnTheBox,
    /// Place of the cause in `TOLD`.
    Told(u8),
    GivenUp,
}

const TOLD: [GapCause; 5] = [
    GapCause::StoreDamaged,
    GapCause::BufferFull,
    GapCause::Thinned,
    GapCause::QueueFull,
    GapCause::AgentOff,
];

impl Reason {
    fn told(cause: GapCause) -> Self {
        let place = (0_u8..).zip(TOLD).find(|(_, known)| *known == cause);
        place.map_or(Self::GivenUp, |(place, _)| Self::Told(place))
    }

    const fn state(self) -> SpanState {
        match self {
            Self::Away | Self::OnTheBox => SpanState::Missing,
            Self::Told(_) | Self::GivenUp => SpanState::Gap,
        }
    }

    fn words(self) -> &'static str {
        match self {
            Self::Away => AWAY,
            Self::OnTheBox => ON_THE_BOX,
            Self::Told(place) => TOLD
                .get(usize::from(place))
                .map_or(GIVEN_UP, |cause| cause.words()),
            Self::GivenUp => GIVEN_UP,
        }
    }
}

/// At each point in time: how many holes of each reason begin (+1) or end (-1) there.
type Turns = BTreeMap<Timestamp, Vec<(Reason, i64)>>;

/// Lays all holes over the time from `from` to `now`.
fn track(
    gateway: &GatewayRow,
    holes: &Holes,
    from: Timestamp,
    now: Timestamp,
) -> Vec<CompletenessSpan> {
    let mut turns = Turns::new();
    let mut lay = |begin: Timestamp, end: Timestamp, reason: Reason| {
        let (begin, end) = (begin.max(from), end.min(now));
        if begin < end {
            turns.entry(begin).or_default().push((reason, 1));
            turns.entry(end).or_default().push((reason, -1));
        }
    };
    for stream in &holes.streams {
        let mut lay_hole = |hole: &Hole, reason| {
            lay(hole.from.unwrap_or(from), hole.to.unwrap_or(now), reason);
        };
        for hole in &stream.missing {
            lay_hole(hole, Reason::OnTheBox);
        }
        for hole in &stream.lost {
            lay_hole(hole, Reason::GivenUp);
        }
    }
    for gap in &holes.gaps {
        lay(gap.from, gap.to, Reason::told(gap.cause));
    }
    if gateway.link != LinkState::Online {
        let last = holes
            .streams
            .iter()
            .filter_map(|stream| stream.last_time)
            .max();
        lay(last.unwrap_or(from), now, Reason::Away);
    }
    spans(turns, from, now)
}

fn spans(turns: Turns, from: Timestamp, now: Timestamp) -> Vec<CompletenessSpan> {
    let mut spans: Vec<CompletenessSpan> = Vec::new();
    let mut open: BTreeMap<Reason, i64> = BTreeMap::new();
    let mut begin = from;
    let mut push = |begin: Timestamp, end: Timestamp, open: &BTreeMap<Reason, i64>| {
        let reason = open
            .iter()
            .find(|(_, count)| **count > 0)
            .map(|(reason, _)| *reason);
        let (state, cause) = reason.map_or((SpanState::Complete, None), |reason| {
            (reason.state(), Some(reason.words()))
        });
        match spans.last_mut() {
            _ if begin >= end => {}
            Some(last) if (last.state, last.cause) == (state, cause) => last.to = end,
            _ => spans.push(CompletenessSpan {
                from: begin,
                to: end,
                state,
                cause,
            }),
        }
    };
    for (at, changes) in turns {
        push(begin, at, &open);
        begin = at;
        for (reason, step) in changes {
            *open.entry(reason).or_default() += step;
        }
    }
    push(begin, now, &open);
    let skipped = spans.len().saturating_sub(SPANS_MAX);
    spans.split_off(skipped)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::GapSpan;
    use protocol::id::{GatewayId, SiteId, StreamId};
    use protocol::view::Named;
    use uuid::Uuid;

    /// 2025-11-21, 14:03:22 UTC.
    const NOW: Timestamp = Timestamp(1_763_733_802_000_000);

    fn ago(seconds: i64) -> Timestamp {
        NOW.plus_micros(-seconds * 1_000_000)
    }

    fn gateway(link: LinkState, since: i64) -> GatewayRow {
        GatewayRow {
            id: GatewayId(Uuid::nil()),
            name: "Box".to_owned(),
            code: "B1".to_owned(),
            site: Named {
                id: SiteId(Uuid::nil()),
                name: "Plant".to_owned(),
            },
            link,
            last_seen: Some(NOW),
            since: Some(ago(since)),
            clock: None,
            version: None,
            readings: 0,
            events: 0,
            alerts_active: 0,
        }
    }

    fn stream(incarnation: u32, first: i64, last: i64, missing: Vec<Hole>) -> StreamHoles {
        StreamHoles {
            incarnation,
            gone: false,
            stream: StreamId(1),
            first_time: Some(ago(first)),
            last_time: Some(ago(last)),
            complete_to: missing.first().map_or(Some(ago(last)), |hole| hole.from),
            missing,
            lost: Vec::new(),
        }
    }

    fn hole(polls: u64, from: i64, to: Option<i64>) -> Hole {
        Hole {
            polls,
            from: Some(ago(from)),
            to: to.map(ago),
        }
    }

    fn shape(judged: &Completeness) -> Vec<(i64, SpanState)> {
        let seconds = |at: Timestamp| NOW.micros_since(at) / 1_000_000;
        judged
            .spans
            .iter()
            .map(|span| (seconds(span.from), span.state))
            .collect()
    }

    #[test]
    fn all_there_is_said_with_the_time() {
        let holes = Holes {
            streams: vec![stream(1, 900, 1, vec![])],
            gaps: vec![],
        };
        let judged = judge(&gateway(LinkState::Online, 900), holes, NOW);
        assert_eq!(judged.words, "complete up to 14:03:21 UTC");
        assert_eq!((judged.complete_to, judged.missing), (Some(ago(1)), 0));
        assert_eq!(shape(&judged), [(900, SpanState::Complete)]);
    }

    #[test]
    fn what_a_damaged_store_held_is_a_gap_from_the_last_that_came() {
        let damage = GapSpan {
            from: ago(350),
            to: ago(350),
            polls: 0,
            cause: GapCause::StoreDamaged,
        };
        let holes = Holes {
            streams: vec![stream(1, 900, 500, vec![]), stream(2, 340, 1, vec![])],
            gaps: vec![damage],
        };
        let judged = judge(&gateway(LinkState::Online, 900), holes, NOW);
        assert_eq!(
            judged.words,
            "complete up to 14:03:21 UTC; missing 13:55:02 to 13:57:32 UTC: \
             the store of the box was damaged"
        );
        let (gap, complete) = (SpanState::Gap, SpanState::Complete);
        let expected = [(900, complete), (500, gap), (350, complete)];
        assert_eq!(shape(&judged), expected);
    }

    #[test]
    fn one_stream_that_is_behind_holds_the_whole_back() {
        let behind = vec![hole(4, 300, Some(296)), hole(3, 100, Some(97))];
        let holes = Holes {
            streams: vec![stream(1, 900, 1, vec![]), stream(1, 800, 1, behind)],
            gaps: vec![],
        };
        let judged = judge(&gateway(LinkState::Online, 900), holes, NOW);
        assert_eq!(
            judged.words,
            "complete up to 13:58:22 UTC; 7 polls missing: still on the box, not received yet"
        );
        assert_eq!((judged.complete_to, judged.missing), (Some(ago(300)), 7));
        let (missing, complete) = (SpanState::Missing, SpanState::Complete);
        assert_eq!(
            shape(&judged),
            [
                (900, complete),
                (300, missing),
                (296, complete),
                (100, missing),
                (97, complete)
            ]
        );
    }

    #[test]
    fn away_is_said_first_and_yesterday_with_its_day() {
        let holes = Holes {
            streams: vec![stream(1, 2 * 86_400, 60_000, vec![])],
            gaps: vec![],
        };
        let judged = judge(&gateway(LinkState::Away, 60_000), holes, NOW);
        assert_eq!(
            judged.words,
            "away since 2025-11-20 21:23:22 UTC; complete up to 2025-11-20 21:23:22 UTC"
        );
        assert_eq!(
            shape(&judged),
            [(86_400, SpanState::Complete), (60_000, SpanState::Missing)]
        );
        assert_eq!(judged.spans[1].cause, Some(AWAY));
        let never = judge(&gateway(LinkState::NeverSeen, 0), Holes::default(), NOW);
        assert_eq!(never.words, "not connected yet since it was enrolled");
        assert_eq!(never.spans, []);
        let new = judge(&gateway(LinkState::Online, 1), Holes::default(), NOW);
        assert_eq!(
            (new.words.as_str(), new.complete_to),
            ("nothing received yet", None)
        );
    }

    #[test]
    fn gaps_are_told_by_their_times_and_causes_the_newest_first_of_all() {
        let gap = |from: i64, to: i64, cause| GapSpan {
            from: ago(from),
            to: ago(to),
            // A box that was off does not know how many polls it missed.
            polls: 0,
            cause,
        };
        let off = GapCause::AgentOff;
        let mut holes = Holes {
            streams: vec![stream(1, 80_000, 1, vec![])],
            gaps: vec![gap(7_402, 6_982, off)],
        };
        let judged = judge(&gateway(LinkState::Online, 900), holes.clone(), NOW);
        assert_eq!(
            judged.words,
            "complete up to 14:03:21 UTC; missing 12:00:00 to 12:07:00 UTC: the agent was off"
        );
        let causes = [GapCause::QueueFull, GapCause::StoreDamaged, off, off];
        for (at, cause) in (1..).zip(causes) {
            holes
                .gaps
                .push(gap(5_000 - at * 1_000, 4_900 - at * 1_000, cause));
        }
        let judged = judge(&gateway(LinkState::Online, 900), holes, NOW);
        assert!(
            judged.words.starts_with(
                "complete up to 14:03:21 UTC; 2 earlier gaps in the last 24 hours; missing "
            ),
            "{}",
            judged.words
        );
        assert_eq!(judged.words.matches("missing").count(), 3);
    }

    #[test]
    fn what_the_box_lost_is_a_gap_with_its_cause_and_not_missing() {
        let gap = GapSpan {
            from: ago(500),
            to: ago(400),
            polls: 1,
            cause: GapCause::BufferFull,
        };
        let gone = vec![hole(5, 700, Some(650)), hole(9, 600, None)];
        let holes = Holes {
            streams: vec![
                StreamHoles {
                    gone: true,
                    ..stream(1, 900, 600, gone)
                },
                stream(2, 590, 1, vec![]),
            ],
            gaps: vec![gap],
        };
        let judged = judge(&gateway(LinkState::Online, 900), holes, NOW);
        assert_eq!(
            judged.words,
            "complete up to 14:03:21 UTC; missing 13:51:42 to 13:52:32 UTC: given up by the box; \
             missing 13:55:02 to 13:56:42 UTC: the buffer of the box was full"
        );
        assert_eq!(judged.missing, 0);
        let causes: Vec<_> = judged.spans.iter().filter_map(|span| span.cause).collect();
        assert_eq!(causes, [GIVEN_UP, GapCause::BufferFull.words()]);
    }
}
