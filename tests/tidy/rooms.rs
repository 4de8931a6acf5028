//! Which room uses which, compared with the table of allowed edges. A room is a top-level module of
//! a package. Never counts test modules: a test may look at its neighbours.

use crate::source::Tree;
use std::collections::{BTreeMap, BTreeSet};

type Edges = BTreeMap<String, BTreeSet<String>>;

/// Everything about rooms that does not fit the table.
pub(crate) fn complaints(tree: &Tree, table: &str) -> Vec<String> {
    let table: toml::Table = toml::from_str(table).unwrap();
    let mut found = Vec::new();
    for (package, entry) in &table {
        let used = used(tree, package);
        let rooms = edges(entry.get("rooms"));
        let planned = edges(entry.get("planned"));
        found.extend(compare(package, &used, &rooms, &planned));
        let all = union(&rooms, &planned);
        if let Some(cycle) = cycle(&union(&all, &used)) {
            found.push(format!(
                "{package}: rooms use each other in a circle: {}",
                cycle.join(" → ")
            ));
        }
    }
    found
}

/// Edges that the source has.
fn used(tree: &Tree, package: &str) -> Edges {
    let folder = format!("{package}/src/");
    let library = package.replace('-', "_");
    let mut used = Edges::new();
    for file in tree.rust() {
        let Some(inside) = file.path.strip_prefix(&folder) else {
            continue;
        };
        let path = module_path(inside);
        let Some(room) = path.first().filter(|room| *room != "lib") else {
            continue;
        };
        let targets = used.entry(room.clone()).or_default();
        let code = file.code();
        for root in roots(&code, &library, path.len()) {
            targets.extend(root.into_iter().filter(|target| target != room));
        }
    }
    let rooms: BTreeSet<String> = used.keys().cloned().collect();
    for targets in used.values_mut() {
        targets.retain(|target| rooms.contains(target));
    }
    used
}

/// `storage/mod.rs` is `[storage]`, `storage/writer.rs` is `[storage, writer]`.
fn module_path(inside: &str) -> Vec<String> {
    let path = inside.trim_end_matches(".rs").trim_end_matches("/mod");
    path.split('/').map(str::to_owned).collect()
}

/// For each path from the top of the package, the rooms it names.
fn roots(code: &str, library: &str, depth: usize) -> Vec<Vec<String>> {
    let library = format!("{library}::");
    // `super` as often as the module is deep leads to the top of the package.
    let up = "super::".repeat(depth);
    let mut found = Vec::new();
    for prefix in ["crate::", library.as_str(), up.as_str()] {
        for (at, _) in code.match_indices(prefix) {
            let before = code[..at].chars().next_back().unwrap_or(' ');
            if !(before.is_alphanumeric() || before == '_' || before == ':') {
                found.push(names(&code[at + prefix.len()..]));
            }
        }
    }
    found
}

/// The first words of a path or of a group of paths.
fn names(rest: &str) -> Vec<String> {
    let word = |text: &str| -> String {
        text.trim_start()
            .chars()
            .take_while(|c| c.is_alphanumeric() || *c == '_')
            .collect()
    };
    if !rest.starts_with('{') {
        return vec![word(rest)];
    }
    let group = &rest[1..crate::source::block(rest) - 1];
    let mut depth = 0;
    let mut start = 0;
    let mut found = Vec::new();
    for (at, c) in group.char_indices() {
        match c {
            '{' => depth += 1,
            '}' => depth -= 1,
            ',' if depth == 0 => {
                found.push(word(&group[start..at]));
                start = at + 1;
            }
            _ => {}
        }
    }
    found.push(word(&group[start..]));
    found
}

fn edges(entry: Option<&toml::Value>) -> Edges {
    let table = entry
        .and_then(toml::Value::as_table)
        .cloned()
        .unwrap_or_default();
    let list = |value: &toml::Value| -> BTreeSet<String> {
        value
            .as_array()
            .unwrap()
            .iter()
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    table
        .iter()
        .map(|(room, targets)| (room.clone(), list(targets)))
        .collect()
}

fn union(one: &Edges, other: &Edges) -> Edges {
    let mut all = one.clone();
    for (room, targets) in other {
        all.entry(room.clone())
            .or_default()
            .extend(targets.iter().cloned());
    }
    all
}

fn compare(package: &str, used: &Edges, rooms: &Edges, planned: &Edges) -> Vec<String> {
    let mut found = Vec::new();
    let empty = BTreeSet::new();
    for room in used.keys().filter(|room| !rooms.contains_key(*room)) {
        found.push(format!(
            "{package}: the room {room} is not in tests/tidy/edges.toml"
        ));
    }
    for (room, allowed) in rooms {
        let Some(targets) = used.get(room) else {
            found.push(format!(
                "{package}: edges.toml names the room {room}, which is not there"
            ));
            continue;
        };
        let later = planned.get(room).unwrap_or(&empty);
        for target in targets
            .difference(allowed)
            .filter(|target| !later.contains(*target))
        {
            found.push(format!(
                "{package}: {room} uses {target}, which edges.toml does not allow: move the code, \
                 or add the edge in a commit of its own that says why"
            ));
        }
        for target in allowed.difference(targets) {
            found.push(format!(
                "{package}: edges.toml allows {room} → {target}, unused: remove it"
            ));
        }
        for target in later.intersection(targets) {
            found.push(format!(
                "{package}: the planned edge {room} → {target} is used: move it up"
            ));
        }
    }
    found
}

/// Some circle in the graph, if there is one.
fn cycle(edges: &Edges) -> Option<Vec<String>> {
    fn visit(
        room: &str,
        edges: &Edges,
        way: &mut Vec<String>,
        done: &mut BTreeSet<String>,
    ) -> bool {
        if let Some(start) = way.iter().position(|before| before == room) {
            way.drain(..start);
            way.push(room.to_owned());
            return true;
        }
        if !done.insert(room.to_owned()) {
            return false;
        }
        way.push(room.to_owned());
        for target in edges.get(room).into_iter().flatten() {
            if visit(target, edges, way, done) {
                return true;
            }
        }
        way.pop();
        false
    }
    let mut done = BTreeSet::new();
    edges.keys().find_map(|room| {
        let mut way = Vec::new();
        visit(room, edges, &mut way, &mut done).then_some(way)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::source::File;

    fn sample() -> Tree {
        Tree(vec![
            File::new("box-agent/src/lib.rs", "pub mod a;"),
            File::new(
                "box-agent/src/a/mod.rs",
                "use crate::{b::X, c::{self, d}};\nuse super::e::Y;",
            ),
            File::new(
                "box-agent/src/a/deep.rs",
                "use super::helper; use super::super::f::Z;",
            ),
            File::new(
                "box-agent/src/b.rs",
                "// crate::a\n#[cfg(test)]\nmod tests { use crate::a; }",
            ),
            File::new("box-agent/src/c/mod.rs", ""),
            File::new("box-agent/src/e.rs", "use crate::c::T; macro_crate::x();"),
            File::new("box-agent/src/f.rs", "fn f() { crate::e::g() }"),
            File::new("box-agent/src/main.rs", "use box_agent::a;"),
        ])
    }

    const RIGHT: &str = "[box-agent.rooms]\na=['b','c','e','f']\nb=[]\nc=[]\ne=['c']\nf=['e']\n\
                         main=['a']\n[box-agent.planned]\nb=['c']";

    #[test]
    fn the_right_table_fits() {
        assert_eq!(complaints(&sample(), RIGHT), Vec::<String>::new());
    }

    #[test]
    fn each_deviation_is_told() {
        for (from, to, words) in [
            ("'e','f']", "'e']", "a uses f"),
            ("f=['e']", "f=['e','c']", "f → c, unused"),
            ("main=['a']\n", "", "the room main is not in"),
            ("b=[]\n", "b=[]\nghost=[]\n", "ghost, which is not there"),
            ("b=['c']", "a=['b']", "planned edge a → b is used"),
            ("b=['c']", "c=['a']", "circle: a → c → a"),
        ] {
            let wrong = RIGHT.replacen(from, to, 1);
            let told = complaints(&sample(), &wrong).join("\n");
            assert!(told.contains(words), "{wrong}\ngave: {told}");
        }
    }

    #[test]
    fn a_cycle_in_the_source_is_told_even_when_the_table_allows_it() {
        let mut tree = sample();
        tree.0
            .push(File::new("box-agent/src/b/back.rs", "use crate::a::X;"));
        let table = RIGHT.replace("b=[]", "b=['a']");
        assert!(complaints(&tree, &table).join("\n").contains("circle"));
    }
}
