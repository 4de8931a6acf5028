//! What `doctor` found: how bad, where, what it is and what to do. Never looks at anything itself.

use crate::cli::table::many;
use serde_json::{Value, json};
use std::cmp::Reverse;

/// How bad a finding is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::cli) enum Rank {
    /// As it should be.
    Fine,
    /// Works, but somebody should look.
    Attention,
    /// Does not work, or something is being lost.
    Wrong,
}

impl Rank {
    /// The word of the JSON answer.
    const fn word(self) -> &'static str {
        match self {
            Self::Fine => "fine",
            Self::Attention => "attention",
            Self::Wrong => "wrong",
        }
    }
}

/// One thing that was looked at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::cli) struct Finding {
    /// How bad it is.
    pub(in crate::cli) rank: Rank,
    /// Where, for example `device pump-7`.
    pub(in crate::cli) place: String,
    /// What it is, as a sentence.
    pub(in crate::cli) what: String,
    /// What to do; empty where nothing is to be done.
    pub(in crate::cli) remedy: String,
}

/// Everything that was found.
#[derive(Clone, Debug, Default)]
pub(in crate::cli) struct Findings(Vec<Finding>);

impl Findings {
    /// As it should be.
    pub(in crate::cli) fn fine(&mut self, place: &str, what: impl Into<String>) {
        self.add(Rank::Fine, place, what, "");
    }

    /// Somebody should look.
    pub(in crate::cli) fn attention(
        &mut self,
        place: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Rank::Attention, place, what, remedy);
    }

    /// Does not work.
    pub(in crate::cli) fn wrong(
        &mut self,
        place: &str,
        what: impl Into<String>,
        remedy: impl Into<String>,
    ) {
        self.add(Rank::Wrong, place, what, remedy);
    }

    fn add(&mut self, rank: Rank, place: &str, what: impl Into<String>, remedy: impl Into<String>) {
        self.0.push(Finding {
            rank,
            place: place.to_owned(),
            what: what.into(),
            remedy: remedy.into(),
        });
    }

    /// How many have this rank.
    pub(in crate::cli) fn count(&self, rank: Rank) -> usize {
        let ranks = self.0.iter().map(|finding| finding.rank);
        ranks.filter(|found| *found == rank).count()
    }

    /// The worst first, else in the order in which they were found.
    fn sorted(&self) -> Vec<&Finding> {
        let mut sorted: Vec<_> = self.0.iter().collect();
        sorted.sort_by_key(|finding| Reverse(finding.rank));
        sorted
    }

    /// Counts, and every finding, worst first.
    pub(in crate::cli) fn json(&self) -> Value {
        let findings = self.sorted();
        let findings = findings.into_iter().map(|finding| {
            json!({
                "rank": finding.rank.word(),
                "place": finding.place,
                "what": finding.what,
                "remedy": finding.remedy,
            })
        });
        json!({
            "wrong": self.count(Rank::Wrong),
            "attention": self.count(Rank::Attention),
            "fine": self.count(Rank::Fine),
            "findings": findings.collect::<Vec<_>>(),
        })
    }

    /// The same for people.
    pub(in crate::cli) fn words(&self) -> String {
        let mut lines = vec![self.sum()];
        let mut rank = None;
        for finding in self.sorted() {
            if rank != Some(finding.rank) {
                rank = Some(finding.rank);
                lines.push(String::new());
            }
            let mark = match finding.rank {
                Rank::Wrong => "WRONG",
                Rank::Attention => "LOOK",
                Rank::Fine => "fine",
            };
            lines.push(format!("{mark:7}{}: {}", finding.place, finding.what));
            if !finding.remedy.is_empty() {
                lines.push(format!("       -> {}", finding.remedy));
            }
        }
        lines.join("\n") + "\n"
    }

    /// `1 thing is wrong, 2 need attention, 9 are fine.`
    pub(in crate::cli) fn sum(&self) -> String {
        let [wrong, attention, fine] =
            [Rank::Wrong, Rank::Attention, Rank::Fine].map(|rank| self.count(rank));
        let is = |count: usize| if count == 1 { "is" } else { "are" };
        let needs = if attention == 1 { "needs" } else { "need" };
        let wrong = match wrong {
            0 => "Nothing is wrong".to_owned(),
            wrong => format!("{} {} wrong", many(wrong, "thing"), is(wrong)),
        };
        format!(
            "{wrong}, {attention} {needs} attention, {fine} {} fine.",
            is(fine)
        )
    }
}

#[cfg(test)]
impl Findings {
    /// The only one about a place.
    pub(super) fn about(&self, place: &str) -> &Finding {
        let mut found = self.0.iter().filter(|finding| finding.place == place);
        match (found.next(), found.next()) {
            (Some(finding), None) => finding,
            _ => panic!("not one about {place}: {self:#?}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_comes_first_and_the_sum_counts() {
        let mut findings = Findings::default();
        findings.fine("clock", "It is synchronised.");
        findings.wrong("device pump-7", "It does not answer.", "Look at the cable.");
        findings.attention("hub", "It is away.", "");
        findings.wrong("store", "It is full.", "Make room.");
        assert_eq!(
            findings.words(),
            "2 things are wrong, 1 needs attention, 1 is fine.\n\
             \n\
             WRONG  device pump-7: It does not answer.\n\
             \x20      -> Look at the cable.\n\
             WRONG  store: It is full.\n\
             \x20      -> Make room.\n\
             \n\
             LOOK   hub: It is away.\n\
             \n\
             fine   clock: It is synchronised.\n"
        );
        let json = findings.json();
        assert_eq!(json["wrong"], 2);
        assert_eq!(json["findings"][2]["rank"], "attention");
        assert_eq!(
            Findings::default().sum(),
            "Nothing is wrong, 0 need attention, 0 are fine."
        );
    }
}
