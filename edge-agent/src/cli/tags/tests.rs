//! What comes in goes out again byte for byte, and what is wrong is told where it stands.

use super::merge::{Imported, Options, import};
use super::*;
use proptest::prelude::*;
use std::fmt::Write as _;

const BASE: &str =
    "# a remark\n[[port]]\nname = \"line\"\nprotocol = \"modbus\"\naddress = \"10.0.0.5\"\n";

fn config(text: &str) -> Config {
    Config::parse(Path::new("edge.toml"), text).unwrap()
}

fn exported(text: &str) -> String {
    export::export(&config(text), None).unwrap()
}

fn try_import(base: &str, csv: &str, options: &Options) -> anyhow::Result<Imported> {
    let read = Config::draft_local(
        Path::new("edge.toml"),
        &crate::config::LocalFile {
            text: base.into(),
            templates: std::collections::BTreeMap::new(),
        },
        None,
    );
    import(
        Path::new("edge.toml"),
        &read.unwrap(),
        csv.as_bytes(),
        options,
    )
}

fn on_line() -> Options {
    Options {
        port: Some("line".to_owned()),
        ..Options::default()
    }
}

fn imported(csv: &str) -> Imported {
    try_import(BASE, csv, &on_line()).unwrap()
}

fn told(csv: &str, options: &Options) -> Vec<String> {
    let imported = try_import(BASE, csv, options).unwrap();
    assert!(options.skip || imported.text == BASE, "nothing is imported");
    imported
        .wrong
        .iter()
        .map(|wrong| format!("f.csv:{wrong}"))
        .collect()
}

#[test]
fn an_export_has_all_that_a_sensor_needs() {
    let text = format!(
        "{BASE}[[device]]\nname = \"m\"\nport = \"line\"\nunit = 7\norder = \"CDAB\"\npoll = \"2s\"\nasset = \"P-1\"\n\
         [[device.sensor]]\nname = \"t\"\naddress = 30001\ntype = \"f32\"\nscale = 0.1\nunit_name = \"degC\"\n\
         range = [0.0, 150.0]\ndeadband = \"0.5%\"\nnan = [-999]\ndescription = \"hot, \\\"very\\\"\"\n\
         [[device.sensor]]\nname = \"run\"\naddress = \"00001\"\npoll = \"500ms\"\nasset = \"P-2\"\n"
    );
    assert_eq!(
        exported(&text),
        "device,tag,address,type,order,scale,offset,unit_name,poll,deadband,access,description,table,range,nan,asset,max_silence,port,unit\n\
         m,t,30001,f32,CDAB,0.1,,degC,2s,0.5%,read,\"hot, \"\"very\"\"\",,\"[0.0, 150.0]\",[-999],P-1,,line,7\n\
         m,run,00001,,CDAB,,,,500ms,,read,,,,,P-2,,line,7\n"
    );
}

#[test]
fn a_device_is_made_and_a_known_one_is_changed_and_remarks_stay() {
    let csv = "device,tag,address,type,poll\nm,t,hr:0,u16,2s\nm,u,hr:1,,\n";
    let made = imported(csv);
    assert_eq!((made.sensors, made.devices, made.wrong.len()), (2, 1, 0));
    assert!(
        made.text.starts_with("# a remark\n[[port]]"),
        "{}",
        made.text
    );
    let base = made
        .text
        .replace("name = \"t\"", "name = \"t\" # the hot one\nscale = 2");
    let again = try_import(
        &base,
        "device,tag,address,type\nm,t,hr:5,\nm,v,hr:6,i16\n",
        &Options::default(),
    );
    let text = again.unwrap().text;
    assert!(
        text.contains("# the hot one") && text.contains("scale = 2"),
        "{text}"
    );
    let csv = exported(&text);
    let rows: Vec<&str> = csv.lines().skip(1).collect();
    assert_eq!(rows.len(), 3, "{csv}");
    // The column type is there and empty: the key goes. There is none for poll: it stays.
    assert!(rows[0].starts_with("m,t,hr:5,,,2,,,2s,"), "{csv}");
    assert!(rows[2].starts_with("m,v,hr:6,i16,"), "{csv}");
}

#[test]
fn what_comes_back_as_it_went_out_changes_nothing_in_the_file() {
    let base = format!(
        "{BASE}[[device]]\nname = \"m\" # of hall 3\nport = \"line\"\nunit = 7\norder = \"CDAB\"\npoll = \"2s\"\n\
         asset = \"P-1\"\n[[device.sensor]]\nname = \"t\"\naddress = 40001 # see page 12\ntype = \"f32\"\n"
    );
    let csv = exported(&base);
    assert!(csv.contains("CDAB") && csv.contains("P-1"), "{csv}");
    let same = try_import(&base, &csv, &Options::default()).unwrap();
    assert_eq!(same.text, base);
    let changed = csv.replace(",f32,", ",u32,");
    let changed = try_import(&base, &changed, &Options::default()).unwrap();
    assert_eq!(changed.text, base.replace("\"f32\"", "\"u32\""));
    // Into another box it goes with all that it needs.
    let other = try_import(BASE, &csv, &on_line()).unwrap().text;
    assert_eq!(exported(&other), csv);
}

#[test]
fn spreadsheets_with_semicolons_tabs_and_marks_are_read() {
    for csv in [
        "\u{feff}device;tag;address\r\nm; t ;40001\r\n;;\r\n",
        "Device\tTag\tAddress\nm\tt\t40001\n",
    ] {
        let made = imported(csv);
        assert_eq!(made.sensors, 1, "{csv}");
        assert_eq!(config(&made.text).devices[0].sensors[0].name, "t");
    }
}

#[test]
fn every_wrong_row_is_told_with_its_line_column_and_remedy() {
    let csv = "device,tag,address,type,scale,poll,access\n\
        m,a,hr:0,u16,\"0,1\",,\n\
        m,b,99,,,,\n\
        m,,hr:1,,,,\n\
        m,c,hr:2,u61,,,\n\
        m,d,hr:3,,,1 hour,\n\
        m,d,hr:4,,,,\n\
        ,e,hr:5,,,,\n\
        m,f,hr:6,,,,often\n\
        m,g\n\
        m,good,hr:7,,,,r/w\n";
    let lines = told(csv, &on_line());
    for (start, end) in [
        (
            "f.csv:2: column 5 (scale): \"0,1\" is not a number",
            "write it with a point, for example 0.1",
        ),
        (
            "f.csv:4: column 2 (tag): is empty",
            "every row needs a name",
        ),
        (
            "f.csv:7: column 2 (tag): \"d\" is in line 6 already",
            "give each its own name",
        ),
        (
            "f.csv:8: column 1 (device): no device is named",
            "--device NAME",
        ),
        (
            "f.csv:9: column 7 (access): \"often\" is not known",
            "write read",
        ),
        (
            "f.csv:10: has 2 cells and the head line 7",
            "must stand in quotes",
        ),
    ] {
        let told = lines
            .iter()
            .any(|line| line.starts_with(start) && line.ends_with(end));
        assert!(told, "{start}…{end} is not in\n{}", lines.join("\n"));
    }
    // What a driver does not take is told in the second look, or when the rest is left out.
    let skip = Options {
        skip: true,
        ..on_line()
    };
    let left = try_import(BASE, csv, &skip).unwrap();
    let lines: Vec<String> = left.wrong.iter().map(ToString::to_string).collect();
    for start in [
        "3: column 3 (address): ",
        "5: column 4 (type): \"u61\"",
        "6: column 6 (poll): \"1 hour\" is not a duration; write for example",
    ] {
        assert!(
            lines.iter().any(|line| line.starts_with(start)),
            "{start} is not in\n{}",
            lines.join("\n")
        );
    }
    assert_eq!(left.sensors, 1);
    assert_eq!(
        left.notes,
        [
            "1 of the tags may be written where the file is from; here a device's key write releases ranges of registers for that"
        ]
    );
    assert_eq!(config(&left.text).devices[0].sensors[0].name, "good");
}

#[test]
fn a_driver_s_word_comes_back_as_the_place_in_the_file() {
    let csv = "tag,address,type\nlow,71,\nhigh,30071,u8\n";
    let options = Options {
        device: Some("m".to_owned()),
        ..on_line()
    };
    let lines = told(csv, &options);
    assert_eq!(lines.len(), 2, "{lines:?}");
    assert!(
        lines[0].starts_with("f.csv:2: column 2 (address): ") && lines[0].contains("hr:71"),
        "{lines:?}"
    );
    assert!(
        lines[1].starts_with("f.csv:3: column 3 (type): "),
        "{lines:?}"
    );
}

#[test]
fn a_head_line_that_says_nothing_and_limits_are_told() {
    let error = |csv: &str| format!("{:#}", try_import(BASE, csv, &on_line()).unwrap_err());
    assert!(error("a,b\n1,2\n").contains("at least tag and address"));
    assert!(error("tag,address,Tag\n").contains("there twice"));
    assert!(error("tag,address,Scan Rate\n").contains("\"Scan Rate\" is not known"));
    assert!(error("tag,address\n").contains("there is no row"));
    let wide = (0..65)
        .map(|at| format!("k{at}"))
        .collect::<Vec<_>>()
        .join(",");
    assert!(error(&format!("tag,address,{wide}\n")).contains("at most 64"));
    let long = format!("device,tag,address\n{}", "m,t,1\n".repeat(20_001));
    assert!(error(&long).contains("more than 20000 rows"));
    let bytes = import(
        Path::new("e"),
        &config(BASE),
        b"tag,address\nm,\xff\n",
        &on_line(),
    );
    assert!(
        bytes
            .unwrap_err()
            .to_string()
            .contains("line 2 is not UTF-8")
    );
    let cell = format!("device,tag,address\nm,{},1\n", "x".repeat(5_000));
    assert!(told(&cell, &on_line())[0].contains("longer than 4096 bytes"));
    // Without a port nothing can be made; one that is not there is told with the nearest.
    let lines = told("device,tag,address\nm,t,40001\n", &Options::default());
    assert!(lines[0].contains("say its port: --port NAME"), "{lines:?}");
    let near = Options {
        port: Some("lin".to_owned()),
        ..Options::default()
    };
    let lines = told("device,tag,address\nm,t,40001\n", &near);
    assert!(lines[0].ends_with("did you mean \"line\"?"), "{lines:?}");
}

#[test]
fn a_configuration_that_is_wrong_itself_comes_first() {
    let wrong = format!("{BASE}retires = 3\n");
    let error = try_import(&wrong, "device,tag,address\nm,t,40001\n", &on_line())
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("comes first") && error.contains("retires"),
        "{error}"
    );
}

const KEPWARE: &str = "Tag Name,Address,Data Type,Respect Data Type,Client Access,Scan Rate,Scaling,Raw Low,Raw High,Scaled Low,Scaled High,Scaled Data Type,Clamp Low,Clamp High,Eng Units,Description,Negate Value\n\
    Flow,400001,Short,1,R/W,100,Linear,0,1000,0,50,Float,1,1,m3/h,\"Main, east\",0\n\
    Level,400003,Float,1,RO,1000,None,,,,,,,,,,\n\
    Alarm,400005.03,Boolean,1,RO,500,None,,,,,,,,,,\n\
    Name,400010.20H,String,1,RO,1000,None,,,,,,,,,,\n\
    Run,000001,Boolean,1,RO,0,,,,,,,,,,,\n";

#[test]
fn kepware_s_columns_are_understood() {
    let options = Options {
        device: Some("plc".to_owned()),
        unit: Some(3),
        order: Some("CDAB".to_owned()),
        ..on_line()
    };
    let made = try_import(BASE, KEPWARE, &options).unwrap();
    assert_eq!(made.wrong, []);
    let csv = exported(&made.text);
    let rows: Vec<&str> = csv.lines().skip(1).collect();
    assert_eq!(
        rows,
        [
            "plc,Flow,400001,i16,CDAB,0.05,0.0,m3/h,100ms,,read,\"Main, east\",,,,,,line,3,\"[0.0, 50.0]\"",
            "plc,Level,400003,f32,CDAB,,,,1s,,read,,,,,,,line,3,",
            "plc,Alarm,400005,bit:3,CDAB,,,,500ms,,read,,,,,,,line,3,",
            "plc,Name,400010,str:20,CDAB,,,,1s,,read,,,,,,,line,3,",
            "plc,Run,000001,,CDAB,,,,1s,,read,,,,,,,line,3,",
        ]
    );
    assert_eq!(made.notes.len(), 2, "{:?}", made.notes);
    assert!(made.notes[1].contains("CDAB"));
}

#[test]
fn what_kepware_says_and_the_box_cannot_is_told() {
    let row = |cells: &str| {
        let csv = format!(
            "Tag Name,Address,Data Type,Scan Rate,Scaling,Raw Low,Raw High,Scaled Low,Scaled High\nx,{cells}\n"
        );
        let options = Options {
            device: Some("plc".to_owned()),
            ..on_line()
        };
        told(&csv, &options).join("\n")
    };
    for (cells, start) in [
        (
            "400001,Short Array,100,,,,,",
            "f.csv:2: column 3 (Data Type): \"short array\" is a list",
        ),
        (
            "400001,Shrt,100,,,,,",
            "f.csv:2: column 3 (Data Type): \"shrt\" is not known here; there are boolean",
        ),
        (
            "400001.16,Boolean,100,,,,,",
            "f.csv:2: column 2 (Address): \"16\" is not a bit",
        ),
        (
            "400001,String,100,,,,,",
            "f.csv:2: column 2 (Address): needs the length",
        ),
        (
            "400001,Short,fast,,,,,",
            "f.csv:2: column 4 (Scan Rate): \"fast\" is not a number of milliseconds",
        ),
        (
            "400001,Short,5,,,,,",
            "f.csv:2: column 4 (Scan Rate): \"5ms\" is outside the allowed range",
        ),
        (
            "400001,Short,100,Square Root,0,1,0,1",
            "f.csv:2: column 5 (Scaling): \"square root\" cannot",
        ),
        (
            "400001,Short,100,Linear,0,,0,1",
            "f.csv:2: column 7 (Raw High): \"\" is not a number",
        ),
        (
            "400001,Short,100,Linear,5,5,0,1",
            "f.csv:2: column 7 (Raw High): raw low and raw high",
        ),
        ("900001,Short,100,,,,,", "f.csv:2: column 2 (Address): "),
    ] {
        let told = row(cells);
        assert!(
            told.starts_with(start),
            "{start} is not the start of\n{told}"
        );
    }
}

/// Something that stands after `key = ` in a sensor.
fn key() -> impl Strategy<Value = (&'static str, String)> {
    let text = |pattern: &'static str| {
        pattern.prop_map(|text: String| toml_edit::Value::from(text).to_string())
    };
    prop_oneof![
        Just(("scale", "0.1".to_owned())),
        Just(("scale", "1e-7".to_owned())),
        Just(("scale", "-3".to_owned())),
        (1i32..1_000_000).prop_map(|n| ("offset", format!("{:?}", f64::from(n) / 7.0))),
        Just(("deadband", "0.25".to_owned())),
        Just(("max_silence", "\"90s\"".to_owned())),
        Just(("poll", "\"2000ms\"".to_owned())),
        Just(("order", "\"DCBA\"".to_owned())),
        Just(("nan", "[0x8000, -1]".to_owned())),
        Just(("range", "[-10.5, 20]".to_owned())),
        Just(("clamp", "[-20.0, 200.0]".to_owned())),
        Just((
            "enum",
            "{ 0 = \"off, \\\"cold\\\"\", 150 = \"full\" }".to_owned()
        )),
        text("(?s).{0,12}").prop_map(|text| ("description", text)),
        text("[ -~°µ]{0,6}").prop_map(|text| ("unit_name", text)),
        text("[A-Za-z0-9-][A-Za-z0-9 .-]{0,8}[A-Za-z0-9-]").prop_map(|text| ("asset", text)),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn out_in_and_out_again_is_the_same_to_the_byte(
        sensors in proptest::collection::btree_map(
            "[a-zA-Z0-9_,;\"'. +-]{1,12}".prop_filter("a name", |name| name.trim() == name),
            (0usize..4, proptest::collection::vec(key(), 0..6)),
            1..6,
        )
    ) {
        let mut text = format!("{BASE}[[device]]\nname = \"m,1\"\nport = \"line\"\nunit = 9\npoll = \"3s\"\n");
        for (at, (name, (shape, keys))) in sensors.iter().enumerate() {
            let name = toml_edit::Value::from(name.as_str());
            let (address, kind) = match shape {
                0 => (format!("{}", 40_001 + 10 * at), "type = \"i32\""),
                1 => (format!("\"hr:{at}\""), ""),
                2 => (format!("\"0000{}\"", at + 1), ""),
                _ => (format!("\"3x{}\"", at + 1), "type = \"bit:3\""),
            };
            writeln!(text, "[[device.sensor]]\nname = {name}\naddress = {address}\n{kind}").unwrap();
            let keys: std::collections::BTreeMap<_, _> = keys.iter().cloned().collect();
            for (key, value) in keys {
                writeln!(text, "{key} = {value}").unwrap();
            }
        }
        let Ok(config) = Config::parse(Path::new("edge.toml"), &text) else {
            return Err(TestCaseError::reject("not a configuration"));
        };
        let first = export::export(&config, None).unwrap();
        let made = try_import(BASE, &first, &Options::default()).unwrap();
        prop_assert_eq!(&made.wrong, &[], "{}", first);
        let second = exported(&made.text);
        prop_assert_eq!(first, second);
    }
}
