//! Tables in, tables out; whatever is wrong is told with its place, and then nothing changes.

use super::*;
use crate::store::testing::Fixture;
use protocol::bundle::{Answer, Role as BoxRole};

const TERMS: Terms = Terms {
    valid_days: 90,
    grace_days: 30,
};

struct Bench {
    fixture: Fixture,
    site: SiteId,
}

impl Bench {
    async fn new() -> Self {
        let fixture = Fixture::new().await;
        let row = fixture.store.gateway(fixture.scope, fixture.gateway).await;
        let site = row.unwrap().site.id;
        Self { fixture, site }
    }

    async fn take(&self, kind: Kind, text: &str, mode: Mode) -> Report {
        let (store, scope) = (&self.fixture.store, self.fixture.scope);
        let place = (scope, self.site);
        let by = ("a test".to_owned(), TERMS);
        import(store, place, (kind, table(text)), mode, by)
            .await
            .unwrap()
    }

    async fn write(&self, kind: Kind, text: &str) -> Report {
        self.take(kind, text, Mode::default()).await
    }

    async fn bundle(&self) -> Bundle {
        let site = self.site;
        let read = move |records: &mut Records<'_, '_>| records.bundle(site);
        let bundle = self.fixture.store.records(self.fixture.scope, read).await;
        bundle.unwrap().unwrap()
    }
}

/// Cells between bars, the first line the header.
fn table(text: &str) -> Table {
    let row = |line: &str| line.split(',').map(|cell| cell.trim().to_owned()).collect();
    let mut lines = text.lines();
    Table {
        header: row(lines.next().unwrap()),
        rows: (2..).zip(lines.map(row)).collect(),
    }
}

const PEOPLE: &str = "name,role,phone,email,language,on_call
Mara,engineer,+4915112345,mara@plant.example,de,yes
Tom,technician,,,,no";
const ASSETS: &str = "tag,name,parent,criticality,class,location
P-101,Feed pump,LINE-1,A,pump,Hall 1
LINE-1,Line 1,,B,,";
const CHECKLISTS: &str = "checklist,title,class,step,required,answer,unit,low,high,choices
pump-monthly,Pump monthly,pump,Guard closed,yes,yes,,,,
pump-monthly,,,Oil level,yes,number,mm,10,40.5,
pump-monthly,,,Coupling,no,choice,,,,good|worn";
const PARTS: &str = "number,name,stock,unit,place,minimum
SEAL-35,Seal 35 mm,4,piece,A-12,2
OIL,Oil,12.25,l,,";
const CODES: &str = "code,kind,title,class,under
LEAK,problem,Leaks,pump,
SEAL,cause,Seal worn,pump,LEAK
REPLACED,remedy,Replaced,,SEAL";

#[tokio::test]
async fn every_table_comes_in_goes_out_and_comes_in_again_without_a_change() {
    let bench = Bench::new().await;
    let tables = [
        (Kind::People, PEOPLE, 2),
        (Kind::Assets, ASSETS, 2),
        (Kind::Parts, PARTS, 2),
        (Kind::Checklists, CHECKLISTS, 1),
        (Kind::FailureCodes, CODES, 3),
    ];
    for (number, (kind, text, added)) in (1..).zip(tables) {
        let report = bench.write(kind, text).await;
        assert_eq!(report.problems, []);
        assert_eq!(
            (report.added, report.bundle),
            (added, Some(number)),
            "{kind:?}"
        );
    }
    let (store, scope) = (&bench.fixture.store, bench.fixture.scope);
    for (kind, _, count) in tables {
        let out = export(store, scope, bench.site, kind).await.unwrap();
        for replace in [false, true] {
            let mode = Mode {
                replace,
                dry_run: false,
            };
            let by = ("a test".to_owned(), TERMS);
            let again = import(store, (scope, bench.site), (kind, out.clone()), mode, by).await;
            let expected = Report {
                unchanged: count,
                ..Report::default()
            };
            assert_eq!(again.unwrap(), expected, "{kind:?}");
        }
    }
    let bundle = bench.bundle().await;
    assert_eq!(bundle.number, 5);
    assert_eq!(bundle.person_named("Mara").unwrap().role, BoxRole::Engineer);
    assert_eq!(
        bundle.asset("P-101").unwrap().parent.as_deref(),
        Some("LINE-1")
    );
    let list = bundle.checklist("pump-monthly").unwrap();
    assert_eq!((list.version, list.steps.len()), (1, 3));
    let high = match &list.steps[1].answer {
        Answer::Number { high, .. } => *high,
        _ => None,
    };
    assert_eq!(high, Some(40.5));
}

#[tokio::test]
async fn a_dry_run_changes_nothing_and_tells_the_same() {
    let bench = Bench::new().await;
    let dry = Mode {
        replace: false,
        dry_run: true,
    };
    let told = bench.take(Kind::Parts, PARTS, dry).await;
    assert_eq!((told.added, told.bundle), (2, None));
    let (rows, _) = bench
        .fixture
        .store
        .bundles(bench.fixture.scope, bench.site)
        .await
        .unwrap();
    assert!(rows.is_empty());
    let done = bench.write(Kind::Parts, PARTS).await;
    assert_eq!((done.added, done.bundle), (2, Some(1)));
}

/// Kind, text, and the line, column and words of what is told.
const WRONG: &[(Kind, &str, usize, &str, &str)] = &[
    (Kind::People, "name,role\nMara,king", 2, "role", "engineer"),
    (Kind::People, "name,role\nMara,", 2, "role", "missing"),
    (
        Kind::People,
        "name,role,phone\nMara,viewer,0151",
        2,
        "phone",
        "country",
    ),
    (
        Kind::People,
        "name,role\nMara,viewer\nmara,viewer",
        3,
        "name",
        "line 2 already",
    ),
    (
        Kind::People,
        "name,rolle\nMara,viewer",
        1,
        "rolle",
        "no such column",
    ),
    (
        Kind::Assets,
        "tag,name,parent\nA,a,B",
        2,
        "parent",
        "no asset \"B\"",
    ),
    (
        Kind::Assets,
        "tag,name,parent\nA,a,B\nB,b,A",
        2,
        "parent",
        "part of itself",
    ),
    (
        Kind::Assets,
        "tag,name,criticality\nA,a,E",
        2,
        "criticality",
        "A, B, C, D",
    ),
    (
        Kind::Parts,
        "number,name,stock\nX,x,many",
        2,
        "stock",
        "no number",
    ),
    (
        Kind::Parts,
        "number,name,stock\nX,x,inf",
        2,
        "stock",
        "no number",
    ),
    (
        Kind::Checklists,
        "checklist,step,answer\nx,y,smell",
        2,
        "answer",
        "signature",
    ),
    (
        Kind::Checklists,
        "checklist,step,answer,low\nx,y,yes,3",
        2,
        "low",
        "number",
    ),
    (
        Kind::Checklists,
        "checklist,step,answer,choices\nx,y,choice,a",
        2,
        "choices",
        "two",
    ),
    (
        Kind::FailureCodes,
        "code,kind,title,under\nX,cause,x,Y",
        2,
        "under",
        "no problem",
    ),
];

#[tokio::test]
async fn what_is_wrong_is_told_with_line_column_and_remedy_and_nothing_is_taken() {
    let bench = Bench::new().await;
    for &(kind, text, line, column, words) in WRONG {
        let report = bench.write(kind, text).await;
        let found = report
            .problems
            .iter()
            .any(|bad| bad.line == line && bad.column == column && bad.words.contains(words));
        assert!(found, "{text}: {:?}", report.problems);
        assert_eq!(report.bundle, None);
    }
    // One bad line among good ones: none of them is taken.
    let mixed = "tag,name,criticality\nA,a,B\nC,c,F";
    assert_eq!(bench.write(Kind::Assets, mixed).await.bundle, None);
    let (rows, _) = bench
        .fixture
        .store
        .bundles(bench.fixture.scope, bench.site)
        .await
        .unwrap();
    assert!(rows.is_empty());
}

#[tokio::test]
async fn empty_cells_leave_a_value_and_the_mark_takes_it_away() {
    let bench = Bench::new().await;
    bench.write(Kind::Assets, ASSETS).await;
    let report = bench.write(Kind::Assets, "tag,name,class\nP-101,,").await;
    assert_eq!((report.changed, report.unchanged), (0, 2));
    let report = bench
        .write(Kind::Assets, "tag,class,parent\nP-101,\\N,\\N")
        .await;
    assert_eq!(report.changed, 1);
    let bundle = bench.bundle().await;
    let pump = bundle.asset("P-101").unwrap();
    assert_eq!(
        (pump.class.as_ref(), pump.name.as_str()),
        (None, "Feed pump")
    );
    // What a removed asset leaves behind must fit.
    let replace = Mode {
        replace: true,
        dry_run: false,
    };
    let report = bench
        .take(Kind::Assets, "tag,name\nP-101,Feed pump", replace)
        .await;
    assert_eq!((report.removed, report.bundle), (1, Some(3)));
}

#[tokio::test]
async fn a_changed_checklist_is_the_next_version() {
    let bench = Bench::new().await;
    bench.write(Kind::Checklists, CHECKLISTS).await;
    let other = CHECKLISTS.replace("40.5", "41");
    assert_eq!(bench.write(Kind::Checklists, &other).await.changed, 1);
    assert_eq!(
        bench
            .bundle()
            .await
            .checklist("pump-monthly")
            .unwrap()
            .version,
        2
    );
}

#[tokio::test]
async fn a_person_keeps_id_and_pin_at_every_site_and_loses_the_pin_on_request() {
    let bench = Bench::new().await;
    let (store, scope) = (&bench.fixture.store, bench.fixture.scope);
    let hash = "x".to_owned();
    let user = crate::store::NewUser {
        name: "mara".to_owned(),
        role: Role::Planner,
        password_hash: hash,
    };
    let user = store.add_user(scope, user).await.unwrap();
    bench.write(Kind::People, PEOPLE).await;
    let bundle = bench.bundle().await;
    assert_eq!(bundle.person_named("Mara").unwrap().id, user.id);
    let by = || ("a test".to_owned(), TERMS);
    let sites = set_pin(store, scope, "MARA", Some("271828"), by())
        .await
        .unwrap();
    assert_eq!(sites, 1);
    let kept = bench
        .bundle()
        .await
        .person_named("Mara")
        .unwrap()
        .pin
        .clone()
        .unwrap();
    assert_eq!((kept.memory_kib, kept.passes), (4_096, 3));
    // Another role, the same PIN.
    bench.write(Kind::People, "name,role\nMara,planner").await;
    let bundle = bench.bundle().await;
    assert_eq!(bundle.person_named("Mara").unwrap().pin, Some(kept));
    set_pin(store, scope, "Mara", None, by()).await.unwrap();
    assert_eq!(bench.bundle().await.person_named("Mara").unwrap().pin, None);
    set_pin(store, scope, "Nobody", None, by())
        .await
        .unwrap_err();
    let easy = set_pin(store, scope, "Mara", Some("123456"), by())
        .await
        .unwrap_err();
    assert!(easy.to_string().contains("first that anybody"), "{easy}");
}

#[tokio::test]
async fn a_bundle_is_made_anew_before_it_ends_and_above_what_boxes_hold() {
    let bench = Bench::new().await;
    let (store, scope) = (&bench.fixture.store, bench.fixture.scope);
    bench.write(Kind::People, PEOPLE).await;
    assert_eq!(renew(store, scope, TERMS).await.unwrap(), 0);
    let told = protocol::wire::v1::BundleStateV1 {
        held: 41,
        ..Default::default()
    };
    store
        .bundle_told(scope, bench.fixture.gateway, told)
        .await
        .unwrap();
    assert_eq!(renew(store, scope, TERMS).await.unwrap(), 1);
    assert_eq!(bench.bundle().await.number, 42);
    assert_eq!(renew(store, scope, TERMS).await.unwrap(), 0);
}
