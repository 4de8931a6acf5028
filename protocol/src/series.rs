//! Readings of one sensor over a span of time, thinned for a chart.
//! Never keeps more than `points_max` points, however many readings are pushed.

use crate::limits;
use crate::reading::{Cause, Quality};
use crate::rollup::Scaled;
use crate::time::Timestamp;

/// What a chart draws.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Series {
    /// Each point is one reading as it was stored; otherwise each is a bucket of several.
    pub raw: bool,
    /// Ascending by time; a bucket without readings has no point.
    pub points: Vec<Point>,
}

/// One reading, or all readings of one bucket.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Point {
    /// When the reading was made, or where the bucket begins.
    pub time: Timestamp,
    /// Mean of the values; `None` when there is no usable one.
    pub mean: Option<f64>,
    /// Lowest value.
    pub min: Option<f64>,
    /// Highest value.
    pub max: Option<f64>,
    /// The worst of the readings. A bucket that has values is never `Bad`: bad readings among
    /// good ones make it `Uncertain` with their cause.
    pub quality: Quality,
}

/// Collects readings into a [`Series`].
#[derive(Clone, Debug)]
pub struct SeriesBuilder {
    from: Timestamp,
    span_us: u64,
    /// Begin of the first bucket, at or before `from`.
    origin: Timestamp,
    width_us: u64,
    points_max: usize,
    kept: Kept,
}

/// Readings as they are until there are too many of them, then one bucket per `width_us`.
#[derive(Clone, Debug)]
enum Kept {
    Raw(Vec<Point>),
    Buckets(Vec<Bucket>),
}

#[derive(Clone, Copy, Debug, Default)]
struct Bucket {
    values: Option<Spread>,
    worst: Option<Quality>,
}

#[derive(Clone, Copy, Debug)]
struct Spread {
    count: f64,
    mean: f64,
    min: f64,
    max: f64,
}

impl SeriesBuilder {
    /// For readings with `from <= time < to`. `points_max` is held to
    /// 1..=[`limits::SERIES_POINTS_MAX`].
    pub fn new(from: Timestamp, to: Timestamp, points_max: usize) -> Self {
        let points_max = points_max.clamp(1, limits::SERIES_POINTS_MAX);
        let span_us = u64::try_from(to.micros_since(from)).unwrap_or(0);
        let count = u64::try_from(points_max).unwrap_or(u64::MAX);
        Self {
            from,
            span_us,
            origin: from,
            width_us: span_us.div_ceil(count).max(1),
            points_max,
            kept: Kept::Raw(Vec::new()),
        }
    }

    /// Like [`Self::new`], with buckets from the start whose bounds are multiples of `step_us`
    /// since 1970, so that statistics of that length fall into one bucket each. There may be
    /// fewer points than asked for; the first bucket holds nothing from before `from`.
    pub fn stepped(from: Timestamp, to: Timestamp, points_max: usize, step_us: i64) -> Self {
        let step_us = step_us.max(1);
        let mut builder = Self::new(from, to, points_max);
        let origin = Timestamp(from.0.div_euclid(step_us).saturating_mul(step_us));
        let whole_us = u64::try_from(to.micros_since(origin)).unwrap_or(0);
        let count = u64::try_from(builder.points_max).unwrap_or(u64::MAX);
        let step_us = step_us.cast_unsigned();
        let steps = whole_us.div_ceil(count).div_ceil(step_us).max(1);
        builder.origin = origin;
        builder.width_us = steps.saturating_mul(step_us);
        builder.kept = Kept::Buckets(vec![Bucket::default(); builder.points_max]);
        builder
    }

    /// Adds the readings of a stretch of time that begins at `start` and lies in one bucket of
    /// [`Self::stepped`]. `values` is `None` when all its readings were bad, as `worst` then says.
    pub fn push_rollup(&mut self, start: Timestamp, values: Option<Scaled>, worst: Quality) {
        if matches!(self.kept, Kept::Raw(_)) {
            self.into_buckets();
        }
        if let Some(bucket) = self.bucket_of(start) {
            bucket.add_rollup(values, worst);
        }
    }

    /// Adds a reading, in any order of time. One outside the span is left out; a value that is
    /// not a finite number counts as not available.
    pub fn push(&mut self, time: Timestamp, value: Option<f64>, quality: Quality) {
        let Ok(offset_us) = u64::try_from(time.micros_since(self.from)) else {
            return;
        };
        if offset_us >= self.span_us {
            return;
        }
        let point = Point::reading(time, value, quality);
        if let Kept::Raw(points) = &mut self.kept {
            if points.len() < self.points_max {
                points.push(point);
                return;
            }
            self.into_buckets();
        }
        self.add(&point);
    }

    /// The points, ascending by time.
    pub fn finish(self) -> Series {
        match self.kept {
            Kept::Raw(mut points) => {
                points.sort_by_key(|point| point.time);
                Series { raw: true, points }
            }
            Kept::Buckets(buckets) => {
                let starts = (0_i64..).map(|index| {
                    let width_us = i64::try_from(self.width_us).unwrap_or(i64::MAX);
                    let start = self.origin.plus_micros(index.saturating_mul(width_us));
                    start.max(self.from)
                });
                let points = starts
                    .zip(buckets)
                    .filter_map(|(start, bucket)| bucket.point(start))
                    .collect();
                Series { raw: false, points }
            }
        }
    }

    #[expect(
        clippy::wrong_self_convention,
        reason = "it turns what is kept into buckets in place"
    )]
    fn into_buckets(&mut self) {
        let buckets = Kept::Buckets(vec![Bucket::default(); self.points_max]);
        if let Kept::Raw(points) = std::mem::replace(&mut self.kept, buckets) {
            for point in points {
                self.add(&point);
            }
        }
    }

    fn add(&mut self, point: &Point) {
        if let Some(bucket) = self.bucket_of(point.time) {
            bucket.add(point);
        }
    }

    fn bucket_of(&mut self, time: Timestamp) -> Option<&mut Bucket> {
        let Kept::Buckets(buckets) = &mut self.kept else {
            return None;
        };
        let offset_us = u64::try_from(time.micros_since(self.origin)).ok()?;
        let index = usize::try_from(offset_us / self.width_us).ok()?;
        buckets.get_mut(index)
    }
}

impl Point {
    fn reading(time: Timestamp, value: Option<f64>, quality: Quality) -> Self {
        let (value, quality) = match (value.filter(|value| value.is_finite()), quality) {
            (Some(value), Quality::Good | Quality::Uncertain(_)) => (Some(value), quality),
            (_, Quality::Bad(cause)) => (None, Quality::Bad(cause)),
            (None, _) => (None, Quality::Bad(Cause::NotAvailable)),
        };
        Self {
            time,
            mean: value,
            min: value,
            max: value,
            quality,
        }
    }
}

impl Bucket {
    fn add(&mut self, point: &Point) {
        self.worst = self.worst.max(Some(point.quality));
        let Some(value) = point.mean else { return };
        let spread = self.values.get_or_insert(Spread {
            count: 0.0,
            mean: value,
            min: value,
            max: value,
        });
        spread.count += 1.0;
        // Both parts are divided before they meet: values near the end of the range of f64 must
        // not overflow in between.
        spread.mean += value / spread.count - spread.mean / spread.count;
        spread.min = spread.min.min(value);
        spread.max = spread.max.max(value);
    }

    fn add_rollup(&mut self, values: Option<Scaled>, worst: Quality) {
        let is_finite = |more: &Scaled| {
            [more.min, more.max, more.mean]
                .into_iter()
                .all(f64::is_finite)
        };
        let finite = values.filter(is_finite);
        let worst = if values.is_some() && finite.is_none() {
            worst.max(Quality::Bad(Cause::NotAvailable))
        } else {
            worst
        };
        self.worst = self.worst.max(Some(worst));
        let Some(more) = finite.filter(|more| more.count > 0) else {
            return;
        };
        let count = f64::from(more.count);
        let spread = self.values.get_or_insert(Spread {
            count: 0.0,
            mean: more.mean,
            min: more.min,
            max: more.max,
        });
        spread.count += count;
        let share = count / spread.count;
        spread.mean += more.mean * share - spread.mean * share;
        spread.min = spread.min.min(more.min);
        spread.max = spread.max.max(more.max);
    }

    fn point(self, time: Timestamp) -> Option<Point> {
        let quality = match (self.worst?, self.values) {
            (Quality::Bad(cause), Some(_)) => Quality::Uncertain(cause),
            (worst, _) => worst,
        };
        Some(Point {
            time,
            // Rounding may carry the mean a last digit beyond its own values.
            mean: self.values.map(|v| v.mean.clamp(v.min, v.max)),
            min: self.values.map(|v| v.min),
            max: self.values.map(|v| v.max),
            quality,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn any_quality() -> impl Strategy<Value = Quality> {
        prop_oneof![
            4 => Just(Quality::Good),
            1 => Just(Quality::Uncertain(Cause::OutOfRange)),
            1 => Just(Quality::Bad(Cause::NoAnswer)),
        ]
    }

    proptest! {
        #[test]
        fn a_series_is_bounded_and_agrees_with_its_readings(
            readings in prop::collection::vec((-50_i64..1_100, -1e3_f64..1e3, any_quality()), 0..300),
            points_max in 1_usize..40,
            (from, len) in (0_i64..200, 0_i64..900),
        ) {
            let (from, to) = (Timestamp(from), Timestamp(from + len));
            let mut builder = SeriesBuilder::new(from, to, points_max);
            for (time, value, quality) in &readings {
                builder.push(Timestamp(*time), Some(*value), *quality);
            }
            let series = builder.finish();
            let inside: Vec<_> = readings.iter().filter(|r| r.0 >= from.0 && r.0 < to.0).collect();
            prop_assert!(series.points.len() <= points_max);
            prop_assert!(series.points.is_sorted_by_key(|point| point.time));
            prop_assert!(series.points.iter().all(|p| p.time >= from && p.time < to));
            prop_assert_eq!(series.raw, inside.len() <= points_max);
            if series.raw {
                prop_assert_eq!(series.points.len(), inside.len());
            }
            let usable = || inside.iter().filter(|r| !matches!(r.2, Quality::Bad(_)));
            let lowest = usable().map(|r| r.1).min_by(f64::total_cmp);
            let highest = usable().map(|r| r.1).max_by(f64::total_cmp);
            prop_assert_eq!(series.points.iter().filter_map(|p| p.min).min_by(f64::total_cmp), lowest);
            prop_assert_eq!(series.points.iter().filter_map(|p| p.max).max_by(f64::total_cmp), highest);
            for point in &series.points {
                prop_assert_eq!(point.mean.is_none(), matches!(point.quality, Quality::Bad(_)));
                prop_assert!(point.min <= point.mean && point.mean <= point.max);
            }
        }

        #[test]
        fn a_bucket_holds_the_mean_of_its_readings(values in prop::collection::vec(-1e6_f64..1e6, 3..50)) {
            let mut builder = SeriesBuilder::new(Timestamp(0), Timestamp(100), 1);
            for (at, value) in (0_i64..).zip(&values) {
                builder.push(Timestamp(at), Some(*value), Quality::Good);
            }
            let point = builder.finish().points[0];
            let count = f64::from(u32::try_from(values.len()).unwrap());
            let mean = values.iter().sum::<f64>() / count;
            prop_assert!((point.mean.unwrap() - mean).abs() < 1e-6);
        }
    }

    proptest! {
        #[test]
        fn statistics_give_the_buckets_that_the_readings_give(
            readings in prop::collection::vec((0_i64..5_000, -1e6_f64..1e6, any_quality()), 1..200),
            from in 0_i64..2_500,
            length in 1_i64..2_500,
            points_max in 1_usize..30,
        ) {
            let (from, to) = (Timestamp(from), Timestamp(from + length));
            let mut one_by_one = SeriesBuilder::stepped(from, to, points_max, 100);
            let mut by_rollup = one_by_one.clone();
            for start in (0..5_000).step_by(100) {
                let inside = readings.iter().filter(|r| (start..start + 100).contains(&r.0));
                // Statistics only where they lie wholly inside, as a store has to do it.
                let whole = Timestamp(start) >= from && Timestamp(start + 100) <= to;
                let mut worst = None;
                let (mut count, mut sum) = (0, 0.0);
                let (mut min, mut max) = (f64::INFINITY, f64::NEG_INFINITY);
                for (time, value, quality) in inside {
                    let (time, value, quality) = (Timestamp(*time), *value, *quality);
                    one_by_one.push(time, Some(value), quality);
                    if !whole {
                        by_rollup.push(time, Some(value), quality);
                        continue;
                    }
                    worst = worst.max(Some(quality));
                    if !matches!(quality, Quality::Bad(_)) {
                        (count, sum) = (count + 1, sum + value);
                        (min, max) = (min.min(value), max.max(value));
                    }
                }
                if let Some(worst) = worst {
                    let mean = sum / f64::from(count);
                    let values = (count > 0).then_some(Scaled { count, min, max, mean, worst });
                    by_rollup.push_rollup(Timestamp(start), values, worst);
                }
            }
            let (expected, found) = (one_by_one.finish(), by_rollup.finish());
            prop_assert!(expected.points.len() <= points_max);
            prop_assert_eq!(expected.points.len(), found.points.len());
            for (one, other) in expected.points.iter().zip(&found.points) {
                prop_assert_eq!(
                    (one.time, one.min, one.max, one.quality),
                    (other.time, other.min, other.max, other.quality)
                );
                prop_assert!(one.time >= from);
                let (one, other) = (one.mean.unwrap_or(0.0), other.mean.unwrap_or(0.0));
                prop_assert!((one - other).abs() < 1e-6);
            }
        }
    }

    #[test]
    fn a_bad_reading_among_good_ones_leaves_the_values_and_marks_the_bucket() {
        let mut builder = SeriesBuilder::new(Timestamp(0), Timestamp(20), 2);
        builder.push(Timestamp(1), Some(4.0), Quality::Good);
        builder.push(Timestamp(2), None, Quality::Bad(Cause::NoAnswer));
        builder.push(Timestamp(11), None, Quality::Bad(Cause::NoConnection));
        let series = builder.finish();
        assert!(!series.raw);
        assert_eq!(series.points[0].mean, Some(4.0));
        assert_eq!(
            series.points[0].quality,
            Quality::Uncertain(Cause::NoAnswer)
        );
        assert_eq!(series.points[1].time, Timestamp(10));
        assert_eq!(series.points[1].mean, None);
        assert_eq!(series.points[1].quality, Quality::Bad(Cause::NoConnection));
    }

    #[test]
    fn an_empty_or_endless_span_does_no_harm() {
        let mut builder = SeriesBuilder::new(Timestamp(5), Timestamp(5), 0);
        builder.push(Timestamp(5), Some(1.0), Quality::Good);
        assert_eq!(builder.finish().points, []);
        let mut builder = SeriesBuilder::new(Timestamp(i64::MIN), Timestamp(i64::MAX), 2);
        for time in [i64::MIN, -1, 0, i64::MAX - 1] {
            builder.push(Timestamp(time), Some(f64::MAX), Quality::Good);
            builder.push(Timestamp(time), Some(f64::NAN), Quality::Good);
        }
        assert!(builder.finish().points.len() <= 2);
    }
}
