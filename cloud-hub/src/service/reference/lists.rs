//! Checklists as a table: one row per step, the rows of a list in the order of its steps. A list that
//! is in the table is taken as it stands there; where it differs it becomes the next version.

use super::Report;
use super::entries::{number, yes_no};
use super::table::{Cells, Table};
use protocol::bundle::{Answer, Checklist, Step};
use std::collections::BTreeMap;

const COLUMNS: &[&str] = &[
    "checklist",
    "title",
    "class",
    "step",
    "required",
    "answer",
    "unit",
    "low",
    "high",
    "choices",
];
const ANSWERS: &str = "is no answer; there are: yes, number, text, choice, photo, signature";
/// Between the choices in a cell.
const BETWEEN: char = '|';

/// A list without its version.
#[derive(Clone, Debug, PartialEq)]
struct Draft {
    title: String,
    class: Option<String>,
    steps: Vec<Step>,
}

pub(super) fn merge(held: &mut Vec<Checklist>, table: &Table, replace: bool) -> Report {
    let mut report = Report {
        problems: table.header_problems(COLUMNS),
        ..Report::default()
    };
    let mut drafts: BTreeMap<String, Draft> = BTreeMap::new();
    for mut cells in table.cells() {
        let id = cells.required("checklist", None);
        let title = cells.optional("title", None);
        let class = cells.optional("class", None);
        let step = step(&mut cells);
        if let Some(draft) = drafts.get_mut(&id) {
            // Title and class may be said once or in each row, but not two of them.
            if title.is_some_and(|title| title != draft.title) {
                let words = format!("the first row says \"{}\"", draft.title);
                cells.wrong("title", words);
            }
            if class.is_some() && class != draft.class {
                let words = "the first row of this checklist says another one";
                cells.wrong("class", words);
            }
            draft.steps.push(step);
        } else {
            let title = title.unwrap_or_else(|| id.clone());
            let steps = vec![step];
            let draft = Draft {
                title,
                class,
                steps,
            };
            drafts.insert(id, draft);
        }
        report.problems.append(&mut cells.problems);
    }
    let mut known: BTreeMap<String, Checklist> =
        held.drain(..).map(|list| (list.id.clone(), list)).collect();
    if replace {
        let before = known.len();
        known.retain(|id, _| drafts.contains_key(id));
        report.removed = before - known.len();
    }
    report.unchanged = known.keys().filter(|id| !drafts.contains_key(*id)).count();
    for (id, draft) in drafts {
        take(&mut known, id, draft, &mut report);
    }
    held.extend(known.into_values());
    report
}

fn take(known: &mut BTreeMap<String, Checklist>, id: String, draft: Draft, report: &mut Report) {
    let Draft {
        title,
        class,
        steps,
    } = draft;
    let before = known.get(&id);
    let is_same = before
        .is_some_and(|list| list.title == title && list.class == class && list.steps == steps);
    if is_same {
        report.unchanged += 1;
        return;
    }
    match before {
        Some(_) => report.changed += 1,
        None => report.added += 1,
    }
    let version = before.map_or(1, |before| before.version.saturating_add(1));
    let list = Checklist {
        id: id.clone(),
        version,
        title,
        class,
        steps,
    };
    known.insert(id, list);
}

fn step(cells: &mut Cells<'_>) -> Step {
    Step {
        title: cells.required("step", None),
        required: cells.flag("required", None).unwrap_or(true),
        answer: answer(cells),
    }
}

fn answer(cells: &mut Cells<'_>) -> Answer {
    let word = cells.text("answer").unwrap_or("yes").to_owned();
    let is_number = word == "number";
    for column in ["unit", "low", "high"] {
        if !is_number && cells.text(column).is_some() {
            cells.wrong(column, "only a step whose answer is number has this");
        }
    }
    if word != "choice" && cells.text("choices").is_some() {
        cells.wrong("choices", "only a step whose answer is choice has choices");
    }
    match word.as_str() {
        "yes" => Answer::Yes,
        "text" => Answer::Text,
        "photo" => Answer::Photo,
        "signature" => Answer::Signature,
        "number" => {
            let (low, high) = (cells.number("low", None), cells.number("high", None));
            if low.zip(high).is_some_and(|(low, high)| low > high) {
                cells.wrong("low", "is above high");
            }
            Answer::Number {
                unit: cells.optional("unit", None).unwrap_or_default(),
                low,
                high,
            }
        }
        "choice" => {
            let cell = cells.text("choices").unwrap_or_default();
            let choices = cell.split(BETWEEN).map(str::trim);
            let choices: Vec<String> = choices
                .filter(|choice| !choice.is_empty())
                .map(str::to_owned)
                .collect();
            if choices.len() < 2 {
                cells.wrong("choices", "write at least two: good|worn|broken");
            }
            Answer::Choice { choices }
        }
        _ => {
            cells.wrong("answer", format!("\"{word}\" {ANSWERS}"));
            Answer::Yes
        }
    }
}

pub(super) fn table(lists: &[Checklist]) -> Table {
    let mut rows = Vec::new();
    for list in lists {
        for step in &list.steps {
            rows.push((rows.len() + 2, row(list, step)));
        }
    }
    Table {
        header: COLUMNS.iter().map(|name| (*name).to_owned()).collect(),
        rows,
    }
}

fn row(list: &Checklist, step: &Step) -> Vec<String> {
    let (answer, unit, low, high, choices) = match &step.answer {
        Answer::Yes => ("yes", "", None, None, String::new()),
        Answer::Text => ("text", "", None, None, String::new()),
        Answer::Photo => ("photo", "", None, None, String::new()),
        Answer::Signature => ("signature", "", None, None, String::new()),
        Answer::Number { unit, low, high } => ("number", unit.as_str(), *low, *high, String::new()),
        Answer::Choice { choices } => ("choice", "", None, None, choices.join("|")),
    };
    vec![
        list.id.clone(),
        list.title.clone(),
        list.class.clone().unwrap_or_default(),
        step.title.clone(),
        yes_no(step.required),
        answer.to_owned(),
        unit.to_owned(),
        number(low),
        number(high),
        choices,
    ]
}
