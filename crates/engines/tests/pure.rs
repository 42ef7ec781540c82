//! What is pure: entries of the catalogue, parameters, the log, and what stands
//! in the way of a change.
#![expect(clippy::unwrap_used, reason = "a test that cannot go on fails")]

use backout_core::code::Code;
use backout_core::ids::{EngineId, ImageId, JobId, OsEntropy, RecordId};
use backout_core::time::Timestamp;
use backout_engines::catalogue::{self, Entry, Image, ImageState, Level};
use backout_engines::log::{NoWayBack, WayBack, given_match, way_back};
use backout_engines::model::{
    Config, Driver, Engine, EngineState, ExecType, Health, Kind, Mode, Operation, Pairs, Record,
    Setup, Uses, Wanted,
};
use backout_engines::parameters::{BadValue, Fate, check, in_force, migrate};
use backout_engines::planning::{Facts, Restored, RollbackCheck, Target, propose};
use backout_engines::{Damage, Refusal};

fn added(text: &str, number: u64) -> Entry {
    let name = catalogue::name(text).unwrap();
    Entry {
        id: ImageId::random(&OsEntropy),
        owner: "acct_aaaaaaaaaaaa".parse().unwrap(),
        level: name.level,
        version: name.version,
        parent: name.parent,
        text: text.to_owned(),
        number,
        created: Timestamp(0),
        updated: Timestamp(0),
    }
}

fn read(text: &str) -> Result<Image, Damage> {
    catalogue::read(&added(text, 1), &[])
}

const WHOLE: &str = "version = \"v\"\nkind = \"DuckDB\"\ncommand = [\"true\"]\n";

#[test]
fn an_entry_that_says_little_has_what_is_usual() {
    let image = read(WHOLE).unwrap();
    assert_eq!(image.level, Level::Parent);
    assert_eq!(image.kind, Kind::DuckDb);
    assert_eq!(image.driver, Driver::Http);
    assert_eq!(image.exec_type, ExecType::Sql);
    assert_eq!(image.state, ImageState::Online);
    assert!(image.public);
    assert_eq!(image.health, Health::Tcp);
    let spark =
        read("version = \"s\"\nkind = \"SparkBatch\"\ncommand = \"/x/bin/spark-submit 'a b'\"");
    let spark = spark.unwrap();
    assert_eq!(
        (spark.driver, spark.exec_type),
        (Driver::Connect, ExecType::Batch)
    );
    assert_eq!(spark.command, ["/x/bin/spark-submit", "a b"]);
}

#[test]
fn words_and_numbers_are_the_same() {
    for (more, public, state) in [
        ("public = 1\nstate = 2", true, ImageState::Online),
        ("public = 2\nstate = 1", false, ImageState::Initializing),
        (
            "public = \"private\"\nstate = \"offline\"",
            false,
            ImageState::Offline,
        ),
        ("public = true\nstate = 3", true, ImageState::Offline),
    ] {
        let image = read(&format!("{WHOLE}{more}")).unwrap();
        assert_eq!((image.public, image.state), (public, state), "{more}");
    }
}

#[test]
fn what_is_wrong_is_met_and_named() {
    let is = |more: &str, fits: fn(&Damage) -> bool| {
        let damage = read(&format!("{WHOLE}{more}")).unwrap_err();
        assert!(fits(&damage), "{more}: {damage:?}");
        assert!(damage.is_of_image());
    };
    is("public = 3", |d| matches!(d, Damage::ImagePublic(_)));
    is("public = \"some\"", |d| matches!(d, Damage::ImagePublic(_)));
    is("state = 4", |d| matches!(d, Damage::ImageState(_)));
    is("state = \"gone\"", |d| matches!(d, Damage::ImageState(_)));
    is("exec_type = \"STREAM\"", |d| {
        matches!(d, Damage::ImageExecType(_))
    });
    is("cluster_parameters = \"{\"", |d| {
        matches!(d, Damage::ClusterParameters(_))
    });
    is("cluster_parameters = 3", |d| {
        matches!(d, Damage::ClusterParameters(_))
    });
    is("session_parameters = \"[1]\"", |d| {
        matches!(d, Damage::SessionParameters(_))
    });
    is(
        "[session_parameters]\na = { type = \"integer\", default = \"x\" }",
        |d| matches!(d, Damage::SessionParameters(_)),
    );
    is(
        "[cluster_parameters]\na = { allowed = [1, 2], default = 3 }",
        |d| matches!(d, Damage::ClusterParameters(_)),
    );
    is("driver = \"odbc\"", |d| matches!(d, Damage::ImageOther(_)));
    is("driver = \"connect\"\nhealth_sql = \"SELECT 1\"", |d| {
        matches!(d, Damage::ImageOther(_))
    });
    is("health_sql = \"SELECT 1\"\nhealth_http = \"/\"", |d| {
        matches!(d, Damage::ImageOther(_))
    });
    is("health_http = \"health\"", |d| {
        matches!(d, Damage::ImageOther(_))
    });
    is("start_s = 0", |d| matches!(d, Damage::ImageOther(_)));
    for text in [
        "version = \"v\"",
        "version = \"v\"\nkind = \"Flink\"",
        "version = \"v\"\nkind = 7",
    ] {
        assert!(matches!(read(text), Err(Damage::ImageKind(_))), "{text}");
    }
}

#[test]
fn what_is_no_entry_is_not_added() {
    for text in [
        "",
        "version = ",
        "version = 3",
        "version = \"\"",
        "version = \"v\"\nunknown = 1",
        "version = \"v\"\nlevel = \"child\"",
        "version = \"v\"\nlevel = \"parent\"\nparent = \"p\"",
        "version = \"a\\nb\"",
    ] {
        let refused = catalogue::name(text).unwrap_err();
        assert!(matches!(refused, Refusal::NoEntry(_)), "{text:?}");
        assert_eq!(refused.code(), Code::ImageDamaged);
    }
    let long = format!(
        "version = \"v\"\n#{}",
        "x".repeat(catalogue::ENTRY_MAX_BYTES)
    );
    assert!(catalogue::name(&long).is_err());
}

#[test]
fn a_minor_version_has_what_its_parent_has_unless_it_says_otherwise() {
    let parent = added(
        "version = \"p\"\nkind = \"SparkSQL\"\ncommand = [\"a\"]\nhealth_sql = \"SELECT 1\"\n\
         client = [\"c\"]\n[cluster_parameters]\nx = { default = 1 }\ny = { default = 2 }",
        1,
    );
    let child = added(
        "version = \"c\"\nparent = \"p\"\nstart_s = 7\n[cluster_parameters]\nx = { default = 9 }",
        2,
    );
    let image = catalogue::read(&child, std::slice::from_ref(&parent)).unwrap();
    assert_eq!(image.level, Level::Child);
    assert_eq!((image.kind, image.start_s), (Kind::SparkSql, 7));
    assert_eq!(image.command, ["a"]);
    assert_eq!(image.health, Health::Sql("SELECT 1".to_owned()));
    assert_eq!(image.parent, Some((parent.id.clone(), "p".to_owned())));
    let values = in_force(&Pairs::new(), &image.cluster);
    assert_eq!((values["x"].as_str(), values["y"].as_str()), ("9", "2"));

    let other = added("version = \"c\"\nparent = \"p\"\nkind = \"PrestoSQL\"", 3);
    let damage = catalogue::read(&other, std::slice::from_ref(&parent)).unwrap_err();
    assert!(matches!(damage, Damage::ImageKind(_)), "{damage:?}");
    let orphan = catalogue::read(&child, &[]).unwrap_err();
    assert!(matches!(orphan, Damage::ImageOther(_)), "{orphan:?}");
    let words = catalogue::words(&other, std::slice::from_ref(&parent));
    assert_eq!(
        (words.kind.as_str(), words.state.as_str()),
        ("PrestoSQL", "online")
    );
}

fn image(parameters: &str) -> Image {
    read(&format!("{WHOLE}[cluster_parameters]\n{parameters}")).unwrap()
}

#[test]
fn values_are_checked_by_type_choice_and_length() {
    let specs = image(
        "i = { type = \"integer\", default = 1 }\nn = { type = \"number\", default = 1.5 }\n\
         b = { type = \"boolean\", default = true }\ns = { default = \"\", max_length = 3 }\n\
         c = { default = \"x\", allowed = [\"x\", \"y\"] }\nh = { default = \"\", internal = true }",
    )
    .cluster;
    for (name, value) in [
        ("i", "-3"),
        ("n", "2e3"),
        ("b", "false"),
        ("s", "abc"),
        ("c", "y"),
    ] {
        check(&specs, name, value).unwrap();
    }
    let bad = |name: &str, value: &str| check(&specs, name, value).unwrap_err();
    assert!(matches!(bad("i", "1.5"), BadValue::Type { .. }));
    assert!(matches!(bad("n", "inf"), BadValue::Type { .. }));
    assert!(matches!(bad("b", "yes"), BadValue::Type { .. }));
    assert!(matches!(bad("s", "a\n"), BadValue::Type { .. }));
    assert!(matches!(bad("s", "abcd"), BadValue::TooLong { .. }));
    assert!(matches!(bad("c", "z"), BadValue::NotAllowed { .. }));
    assert!(matches!(bad("h", "1"), BadValue::Internal(_)));
    assert!(matches!(bad("zz", "1"), BadValue::Unknown(_)));
}

#[test]
fn a_migration_lists_what_is_kept_defaulted_and_dropped() {
    let old = image("k = {}\nd = {}\ng = {}\ns = { default = 1 }").cluster;
    let new = image(
        "k = {}\nd = { type = \"integer\", default = 5 }\ns = { default = 2 }\n\
         n = { default = 7 }\nm = {}",
    )
    .cluster;
    let set: Pairs = [("k", "1"), ("d", "x"), ("g", "1")]
        .into_iter()
        .map(|(k, v)| (k.to_owned(), v.to_owned()))
        .collect();
    let migration = migrate(&set, &old, &new);
    let lines: Vec<_> = migration
        .lines
        .iter()
        .map(|l| {
            (
                l.name.as_str(),
                l.fate,
                l.before.as_deref(),
                l.after.as_deref(),
            )
        })
        .collect();
    assert_eq!(
        lines,
        [
            ("d", Fate::Defaulted, Some("x"), Some("5")),
            ("g", Fate::Dropped, Some("1"), None),
            ("k", Fate::Kept, Some("1"), Some("1")),
            ("m", Fate::Defaulted, None, None),
            ("n", Fate::Defaulted, None, Some("7")),
        ]
    );
    assert_eq!(migration.set.len(), 1);
    assert_eq!(migration.missing, ["m"]);
    // Nothing is lost where nothing changes.
    let same = migrate(&set, &old, &old);
    assert_eq!(same.set, set);
    assert!(same.lines.iter().all(|l| l.fate == Fate::Kept));
}

fn record(operation: Operation, before: Option<&RecordId>) -> Record {
    Record {
        id: RecordId::random(&OsEntropy),
        engine: "DataEngine-k31c771o".parse().unwrap(),
        number: 1,
        operation,
        before: before.cloned(),
        restored: None,
        uses: uses(),
        config: Config::default(),
        size: 1,
        job: JobId::random(&OsEntropy),
        at: Timestamp(0),
    }
}

fn uses() -> Uses {
    Uses {
        parent: ImageId::random(&OsEntropy),
        child: None,
        python: None,
    }
}

#[test]
fn what_can_be_rolled_back_hangs_on_the_last_record() {
    assert_eq!(way_back(None), Err(NoWayBack::NoRecord));
    let before = RecordId::random(&OsEntropy);
    for &operation in Operation::ALL {
        let first = record(operation, None);
        assert!(way_back(Some(&first.head())).is_err());
        assert!(!RollbackCheck::of(Some(&first.head())).possible);
        let later = record(operation, Some(&before));
        let way = way_back(Some(&later.head()));
        match operation {
            Operation::InitImage => assert_eq!(way, Err(NoWayBack::First)),
            Operation::RollbackImage => assert_eq!(way, Err(NoWayBack::RolledBack)),
            _ => {
                let way = way.unwrap();
                assert_eq!((&way.from, &way.to), (&before, &later.id));
                let check = RollbackCheck::of(Some(&later.head()));
                assert!(check.possible && check.from == Some(way.from));
            }
        }
    }
}

#[test]
fn records_that_are_given_must_be_those_of_the_rollback() {
    let engine: EngineId = "DataEngine-k31c771o".parse().unwrap();
    let way = WayBack {
        from: RecordId::random(&OsEntropy),
        to: RecordId::random(&OsEntropy),
    };
    let (from, to) = (way.from.as_str(), way.to.as_str());
    for (given_from, given_to, fits) in [
        (None, None, true),
        (Some(""), Some(""), true),
        (Some(from), Some(""), true),
        (None, Some(to), true),
        (Some(from), Some(to), true),
        (Some(to), Some(from), false),
        (Some("x"), None, false),
    ] {
        let matched = given_match(&engine, &way, given_from, given_to);
        assert_eq!(matched.is_ok(), fits, "{given_from:?} {given_to:?}");
    }
}

fn engine() -> Engine {
    Engine {
        id: "DataEngine-k31c771o".parse().unwrap(),
        owner: "acct_aaaaaaaaaaaa".parse().unwrap(),
        creator: "acct_aaaaaaaaaaaa".parse().unwrap(),
        name: "e".to_owned(),
        node: "n".to_owned(),
        kind: Kind::DuckDb,
        exec_type: "SQL".to_owned(),
        mode: Mode::PayAsYouGo,
        pay_mode: 0,
        state: EngineState::Running,
        description: String::new(),
        size: 1,
        clusters: (1, 1),
        port: 15_000,
        instance: Some("i".to_owned()),
        changes: 1,
        tags: Vec::new(),
        kept: Default::default(),
        created: Timestamp(0),
        updated: Timestamp(0),
    }
}

/// The codes of what stands in the way, and of what to know; what would run; the
/// floor and the surge.
type Told = (Vec<Code>, Vec<Code>, Option<Setup>, Option<(u32, u32)>);

/// What a change of `engine` to another version that is fine depends on.
struct Case {
    engine: Engine,
    config: Config,
    image: Image,
    target: Image,
    uses: Uses,
    memory_free_bytes: Option<u64>,
    unavailable: Option<String>,
    last: Record,
}

impl Case {
    fn new() -> Self {
        let image = read(WHOLE).unwrap();
        let mut target = read(&WHOLE.replace("\"v\"", "\"w\"")).unwrap();
        target.memory_bytes = Some(1 << 30);
        let before = RecordId::random(&OsEntropy);
        Self {
            engine: engine(),
            config: Config::default(),
            uses: Uses {
                parent: image.id.clone(),
                child: None,
                python: None,
            },
            image,
            target,
            memory_free_bytes: None,
            unavailable: None,
            last: record(Operation::SwitchImage, Some(&before)),
        }
    }

    fn propose(&self, wanted: &Wanted) -> Told {
        let setup = Setup {
            uses: self.uses.clone(),
            config: self.config.clone(),
            size: 1,
            launch: self.image.launch(&self.config),
        };
        let target = Target {
            uses: Uses {
                parent: self.target.id.clone(),
                child: None,
                python: None,
            },
            image: self.target.clone(),
        };
        let facts = Facts {
            engine: &self.engine,
            held_by: None,
            setup: Some(&setup),
            config: &self.config,
            image: &self.image,
            uses: &self.uses,
            last: Some(&self.last),
            restored: Some(Restored {
                record: self.last.clone(),
                target: target.clone(),
            }),
            target: Some(target),
            standing: Some(true),
            memory_free_bytes: self.memory_free_bytes,
            unavailable: self.unavailable.clone(),
        };
        let proposal = propose(&facts, wanted);
        let preflight = proposal.preflight();
        (
            preflight.blockers.iter().map(|f| f.code).collect(),
            preflight.warnings.iter().map(|f| f.code).collect(),
            proposal.to,
            proposal.plan.map(|p| (p.floor, p.surge)),
        )
    }
}

fn switch() -> Wanted {
    Wanted::Switch {
        image: "w".to_owned(),
    }
}

#[test]
fn a_switch_that_nothing_stands_in_the_way_of_runs_beside() {
    let (blockers, warnings, to, plan) = Case::new().propose(&switch());
    assert!(blockers.is_empty() && warnings.is_empty());
    assert_eq!(to.unwrap().launch.version, "w");
    assert_eq!(plan, Some((1, 1)), "one stays ready, one more runs");
}

#[test]
fn without_memory_for_two_the_old_one_goes_first() {
    let mut case = Case::new();
    case.memory_free_bytes = Some(1 << 30);
    let (blockers, warnings, _, plan) = case.propose(&switch());
    assert!(blockers.is_empty());
    assert_eq!(warnings, [Code::Interruption]);
    assert_eq!(plan, Some((0, 0)));
    case.memory_free_bytes = Some(2 << 30);
    assert_eq!(case.propose(&switch()).3, Some((1, 1)));
}

#[test]
fn all_that_stands_in_the_way_of_a_switch_is_told() {
    type Spoil = fn(&mut Case);
    let cases: [(Spoil, Code); 11] = [
        (|c| c.engine.kind = Kind::StandardSpark, Code::EngineFixed),
        (|c| c.engine.mode = Mode::Shared, Code::EngineFixed),
        (
            |c| c.engine.state = EngineState::Suspended,
            Code::EngineState,
        ),
        (
            |c| c.engine.state = EngineState::Initializing,
            Code::EngineState,
        ),
        (
            |c| c.engine.exec_type = "STREAM".to_owned(),
            Code::EngineRecordDamaged,
        ),
        (|c| c.engine.pay_mode = 7, Code::EngineRecordDamaged),
        (|c| c.engine.mode = Mode::Monthly, Code::EngineRecordDamaged),
        (|c| c.target.state = ImageState::Offline, Code::ImageState),
        (|c| c.target.kind = Kind::PrestoSql, Code::ImageMismatch),
        (
            |c| c.target.exec_type = ExecType::Batch,
            Code::ImageMismatch,
        ),
        (
            |c| c.unavailable = Some("no Java".to_owned()),
            Code::EngineUnavailable,
        ),
    ];
    for (n, (spoil, code)) in cases.into_iter().enumerate() {
        let mut case = Case::new();
        spoil(&mut case);
        let (blockers, ..) = case.propose(&switch());
        assert!(blockers.contains(&code), "{n}: {blockers:?}");
    }
    let mut case = Case::new();
    case.target.cluster = image("m = {}").cluster;
    assert_eq!(case.propose(&switch()).0, [Code::ParameterRefused]);
    case.target.cluster = image("").cluster;
    case.target.memory_bytes = Some(3 << 30);
    case.image.memory_bytes = Some(1 << 30);
    case.memory_free_bytes = Some(1 << 30);
    let (blockers, ..) = case.propose(&switch());
    assert_eq!(blockers, [Code::EngineUnavailable], "not even alone");
    case.memory_free_bytes = Some(2 << 30);
    assert!(
        case.propose(&switch()).0.is_empty(),
        "once the old one is gone"
    );
    case.target = case.image.clone();
    assert_eq!(
        case.propose(&switch()).0,
        [Code::EngineState],
        "it runs that already"
    );
}

#[test]
fn a_rollback_restores_what_the_record_has() {
    let mut case = Case::new();
    let rollback = Wanted::Rollback {
        from: None,
        to: None,
    };
    case.last
        .config
        .cluster
        .insert("a".to_owned(), "1".to_owned());
    // The entry was replaced since by one that does not know it.
    assert_eq!(case.propose(&rollback).0, [Code::ParameterRefused]);
    case.target.cluster = image("a = { default = \"\" }").cluster;
    let (blockers, _, to, _) = case.propose(&rollback);
    assert!(blockers.is_empty());
    let to = to.unwrap();
    assert_eq!(
        (to.launch.version.as_str(), &to.config),
        ("w", &case.last.config)
    );
    case.last.operation = Operation::RollbackImage;
    assert_eq!(case.propose(&rollback).0, [Code::NoWayBack]);
    // What that rollback's own job did is undone all the same.
    let undo = Wanted::Undo {
        job: case.last.job.clone(),
    };
    assert!(case.propose(&undo).0.is_empty());
    let other = Wanted::Undo {
        job: JobId::random(&OsEntropy),
    };
    assert_eq!(case.propose(&other).0, [Code::NoWayBack]);
}

#[test]
fn a_size_alone_starts_nothing_anew() {
    let case = Case::new();
    let modify = Wanted::Modify {
        config: None,
        size: Some(4),
    };
    let (blockers, _, to, plan) = case.propose(&modify);
    assert!(blockers.is_empty());
    assert_eq!(to.unwrap().size, 4);
    assert_eq!(plan, Some((0, 0)), "there is nothing to replace");
    let restart = Wanted::Restart { forced: true };
    assert_eq!(case.propose(&restart).3, Some((0, 0)));
    let restart = Wanted::Restart { forced: false };
    assert_eq!(case.propose(&restart).3, Some((1, 1)));
}

#[test]
fn one_that_is_spoken_to_otherwise_breaks_off_what_runs_and_says_so() {
    let mut case = Case::new();
    case.target.driver = Driver::Thrift;
    let (blockers, warnings, ..) = case.propose(&switch());
    assert_eq!((blockers, warnings), (vec![], vec![Code::Interruption]));
    case.image.driver = Driver::Trino;
    assert!(case.propose(&switch()).1.is_empty(), "both by connections");
}

#[test]
fn an_image_for_python_programs_has_all_that_is_above_it() {
    let parent = added(
        &format!("{WHOLE}health_sql = \"SELECT 1\"\nmemory_mb = 5"),
        1,
    );
    let child = added("version = \"c\"\nparent = \"v\"\nstart_s = 7", 2);
    let python = added(
        "version = \"py\"\nparent = \"c\"\nlevel = \"pyspark\"\ncommand = [\"other\"]",
        3,
    );
    let image = catalogue::read(&python, &[child.clone(), parent.clone()]).unwrap();
    assert_eq!((image.level, image.kind), (Level::Pyspark, Kind::DuckDb));
    assert_eq!(image.command, ["other"]);
    assert_eq!((image.start_s, image.memory_bytes), (7, Some(5 << 20)));
    assert_eq!(image.health, Health::Sql("SELECT 1".to_owned()));
    assert_eq!(image.parent, Some((child.id.clone(), "c".to_owned())));
    let words = catalogue::words(&python, &[child, parent]);
    assert_eq!(
        (words.kind.as_str(), words.driver.as_str()),
        ("DuckDB", "http")
    );
}

#[test]
fn an_endpoint_is_where_it_is_listened_at() {
    let engine = engine();
    assert_eq!(engine.endpoint(Driver::Http), "http://127.0.0.1:15000");
    for (listen, expected) in [
        ("0.0.0.0", "sc://127.0.0.1:15000"),
        ("10.0.0.5", "sc://10.0.0.5:15000"),
        ("::", "sc://[::1]:15000"),
    ] {
        let told = engine.endpoint_at(Driver::Connect, listen.parse().unwrap());
        assert_eq!(told, expected);
    }
}

#[test]
fn what_is_too_much_is_refused() {
    let many = |count: usize| {
        let lines: String = (0..count)
            .map(|n| format!("p{n} = {{ default = 1 }}\n"))
            .collect();
        read(&format!("{WHOLE}[cluster_parameters]\n{lines}"))
    };
    assert_eq!(
        many(catalogue::PARAMETERS_MAX).unwrap().cluster.len(),
        catalogue::PARAMETERS_MAX
    );
    let damage = many(catalogue::PARAMETERS_MAX + 1).unwrap_err();
    assert!(matches!(damage, Damage::ClusterParameters(_)), "{damage}");
    for more in [
        format!("client = {:?}", "x".repeat(20_000)),
        format!("health_sql = {:?}", "x".repeat(20_000)),
        "client = [\"a\\u0000\"]".to_owned(),
        "health_http = \"/\\n\"".to_owned(),
    ] {
        let damage = read(&format!("{WHOLE}{more}")).unwrap_err();
        assert!(matches!(damage, Damage::ImageOther(_)), "{damage}");
    }
    for name in ["\"\"", "\"a=b\"", "\"a\\nb\""] {
        let damage = read(&format!("{WHOLE}[session_parameters]\n{name} = {{}}")).unwrap_err();
        assert!(matches!(damage, Damage::SessionParameters(_)), "{damage}");
    }
    // Each fits, and all together do not.
    let mut case = Case::new();
    let lines: String = (0..20)
        .map(|n| format!("p{n} = {{ default = \"\" }}\n"))
        .collect();
    case.image.cluster = image(&lines).cluster;
    let modify = |count: usize| Wanted::Modify {
        config: Some(Config {
            cluster: (0..count)
                .map(|n| (format!("p{n}"), "x".repeat(4000)))
                .collect(),
            ..Config::default()
        }),
        size: None,
    };
    assert!(case.propose(&modify(10)).0.is_empty());
    assert_eq!(case.propose(&modify(20)).0, [Code::BadRequest]);
}

mod properties {
    use proptest::prelude::*;

    use super::*;

    /// Names and values from so few that they meet.
    fn pairs() -> impl Strategy<Value = Pairs> {
        proptest::collection::btree_map("[a-e]", "(|[0-9]|true|x|-1\\.5|\n)", 0..6)
    }

    fn entries() -> impl Strategy<Value = String> {
        let spec = prop_oneof![
            Just("{}"),
            Just("{ default = 3 }"),
            Just("{ type = \"integer\", default = 3 }"),
            Just("{ type = \"boolean\" }"),
            Just("{ type = \"number\", default = 1.5 }"),
            Just("{ default = \"x\", allowed = [\"x\", \"1\"] }"),
            Just("{ default = \"\", max_length = 1 }"),
            Just("{ default = 1, internal = true }"),
        ];
        proptest::collection::btree_map("[a-e]", spec, 0..6).prop_map(|specs| {
            let lines = specs
                .iter()
                .map(|(name, spec)| format!("{name} = {spec}\n"));
            lines.collect()
        })
    }

    /// What an entry may be made of, right and wrong.
    fn text() -> impl Strategy<Value = String> {
        let line = prop_oneof![
            Just("version = \"v\"\n".to_owned()),
            Just("kind = \"DuckDB\"\n".to_owned()),
            Just("[cluster_parameters]\n".to_owned()),
            Just("[session_parameters]\n".to_owned()),
            Just("x = { default = [[[[]]]] }\n".to_owned()),
            Just("command = [\"a\"]\n".to_owned()),
            Just("parent = \"p\"\n".to_owned()),
            Just("level = \"pyspark\"\n".to_owned()),
            Just("cluster_parameters = '''{\"a\": {\"default\": 1}}'''\n".to_owned()),
            "(public|state|exec_type|driver|client|command|start_s|health_sql|kind) = (1|-9|true|\"[a-z/]{0,5}\"|\\[1\\]|\\{\\}|1979-05-27)\n",
            "[ -~]{0,30}\n",
            "\\PC{0,10}",
            "\\[{1,200}",
        ];
        proptest::collection::vec(line, 0..8).prop_map(|lines| lines.concat())
    }

    proptest! {
        #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(400) })]

        #[test]
        fn a_migration_loses_nothing_silently(old in entries(), new in entries(), set in pairs()) {
            let (old, new) = (image(&old).cluster, image(&new).cluster);
            let migration = migrate(&set, &old, &new);
            // What stays set is what was set, and is accepted.
            for (name, value) in &migration.set {
                prop_assert_eq!(set.get(name), Some(value));
                prop_assert!(check(&new, name, value).is_ok());
            }
            // Each that was set has one line, which tells what becomes of it.
            for (name, value) in &set {
                let lines: Vec<_> = migration.lines.iter().filter(|l| l.name == *name).collect();
                prop_assert_eq!(lines.len(), 1);
                prop_assert_eq!(lines[0].before.as_ref(), Some(value));
                let kept = migration.set.contains_key(name);
                prop_assert_eq!(lines[0].fate == Fate::Kept, kept);
                prop_assert_eq!(lines[0].fate == Fate::Dropped, !new.contains_key(name));
            }
            // All that the new version has is in force, or told to be missing.
            let force = in_force(&migration.set, &new);
            for name in new.keys() {
                prop_assert!(force.contains_key(name) != migration.missing.contains(name));
            }
            prop_assert!(force.keys().all(|name| new.contains_key(name)));
            // Nothing changes twice, nor where nothing changes.
            let again = migrate(&migration.set, &new, &new);
            prop_assert_eq!(again.set, migration.set);
        }

        #[test]
        fn a_rollback_goes_to_the_record_before_or_nowhere(
            steps in proptest::collection::vec(0..Operation::ALL.len(), 0..8),
        ) {
            let mut log: Vec<Record> = vec![];
            for step in steps {
                let before = log.last().map(|r| r.id.clone());
                log.push(record(Operation::ALL[step], before.as_ref()));
            }
            let check = RollbackCheck::of(log.last().map(Record::head).as_ref());
            let possible = log.len() > 1 && !matches!(
                log.last().unwrap().operation,
                Operation::InitImage | Operation::RollbackImage
            );
            prop_assert_eq!(check.possible, possible);
            prop_assert_eq!(check.why.is_none(), possible);
            let ids = possible.then(|| {
                (log[log.len() - 2].id.clone(), log[log.len() - 1].id.clone())
            });
            prop_assert_eq!(check.from.zip(check.to), ids);
        }

        #[test]
        fn any_text_is_an_entry_or_refused(text in text()) {
            if let Ok(name) = catalogue::name(&text) {
                let entry = Entry { level: name.level, version: name.version, parent: name.parent, ..added(WHOLE, 1) };
                let entry = Entry { text, ..entry };
                let above = added(WHOLE, 2);
                let _ = catalogue::says_public(&entry);
                for above in [&[][..], &[above][..]] {
                    let _ = catalogue::words(&entry, above);
                    if let Ok(image) = catalogue::read(&entry, above) {
                        prop_assert!(image.cluster.len() <= catalogue::PARAMETERS_MAX);
                    }
                }
            }
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
            let _ = catalogue::name(&String::from_utf8_lossy(&bytes));
        }
    }
}
