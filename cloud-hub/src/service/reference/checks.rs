//! What must hold between the entries of a site: names that are named are there, nothing is a part of
//! itself, no list is over its limit. Never changes anything.

use super::Kind;
use super::entries::{at_line, lines_of};
use super::table::{BadCell, Table};
use protocol::bundle::{Answer, Asset, Bundle, FailureCode, FailureKind};
use protocol::limits::{
    ASSETS_MAX, CHECKLIST_STEPS_MAX, CHECKLISTS_MAX, FAILURE_CODES_MAX, PARTS_MAX, PEOPLE_MAX,
    STEP_CHOICES_MAX,
};
use std::collections::{BTreeMap, BTreeSet};

/// All that is wrong with `bundle` as it would be after `table` of `kind` was taken.
pub(super) fn all(bundle: &Bundle, kind: Kind, table: &Table) -> Vec<BadCell> {
    let mut problems = limits(bundle);
    match kind {
        Kind::Assets => assets(bundle, &lines_of::<Asset>(table), &mut problems),
        Kind::FailureCodes => codes(bundle, &lines_of::<FailureCode>(table), &mut problems),
        Kind::People | Kind::Parts | Kind::Checklists => {}
    }
    problems
}

fn limits(bundle: &Bundle) -> Vec<BadCell> {
    let steps = bundle.checklists.iter().map(|list| list.steps.len());
    let answers = bundle.checklists.iter().flat_map(|list| &list.steps);
    let choices = answers.map(|step| match &step.answer {
        Answer::Choice { choices } => choices.len(),
        _ => 0,
    });
    [
        ("people", bundle.people.len(), PEOPLE_MAX),
        ("assets", bundle.assets.len(), ASSETS_MAX),
        ("parts", bundle.parts.len(), PARTS_MAX),
        ("checklists", bundle.checklists.len(), CHECKLISTS_MAX),
        (
            "failure codes",
            bundle.failure_codes.len(),
            FAILURE_CODES_MAX,
        ),
        (
            "steps of a checklist",
            steps.max().unwrap_or(0),
            CHECKLIST_STEPS_MAX,
        ),
        (
            "choices of a step",
            choices.max().unwrap_or(0),
            STEP_CHOICES_MAX,
        ),
    ]
    .into_iter()
    .filter(|(_, count, most)| count > most)
    .map(|(what, count, most)| {
        BadCell::whole(&format!(
            "a site has at most {most} {what}; these would be {count}"
        ))
    })
    .collect()
}

fn assets(bundle: &Bundle, lines: &BTreeMap<String, usize>, problems: &mut Vec<BadCell>) {
    let parents: BTreeMap<&str, Option<&str>> = bundle
        .assets
        .iter()
        .map(|asset| (asset.tag.as_str(), asset.parent.as_deref()))
        .collect();
    for asset in &bundle.assets {
        let Some(parent) = asset.parent.as_deref() else {
            continue;
        };
        if !parents.contains_key(parent) {
            let words = format!("there is no asset \"{parent}\" ({} names it)", asset.tag);
            problems.push(at_line(lines, &asset.tag, "parent", words));
        } else if is_in_circle(&parents, &asset.tag) {
            let words = format!("{} would be a part of itself", asset.tag);
            problems.push(at_line(lines, &asset.tag, "parent", words));
        }
    }
}

fn is_in_circle(parents: &BTreeMap<&str, Option<&str>>, tag: &str) -> bool {
    let mut seen = BTreeSet::new();
    let mut next = parents.get(tag).copied().flatten();
    while let Some(parent) = next {
        if parent == tag {
            return true;
        }
        // A circle further up is told where it is.
        if !seen.insert(parent) {
            return false;
        }
        next = parents.get(parent).copied().flatten();
    }
    false
}

fn codes(bundle: &Bundle, lines: &BTreeMap<String, usize>, problems: &mut Vec<BadCell>) {
    let before = |kind| match kind {
        FailureKind::Problem => None,
        FailureKind::Cause => Some(FailureKind::Problem),
        FailureKind::Remedy => Some(FailureKind::Cause),
    };
    let known: BTreeSet<(FailureKind, &str)> = bundle
        .failure_codes
        .iter()
        .map(|code| (code.kind, code.code.as_str()))
        .collect();
    for code in &bundle.failure_codes {
        let Some(under) = code.under.as_deref() else {
            continue;
        };
        let words = match before(code.kind) {
            None => "a problem stands under nothing".to_owned(),
            Some(kind) if !known.contains(&(kind, under)) => {
                format!("there is no {} \"{under}\"", kind.word())
            }
            Some(_) => continue,
        };
        let key = format!("{}|{}", code.kind.word(), code.code);
        problems.push(at_line(lines, &key, "under", words));
    }
}
