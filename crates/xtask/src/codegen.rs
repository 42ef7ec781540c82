//! Turns `contract/*.json` into `crates/wire/src/generated/*.rs`.
//!
//! The contract is data, the code is made from it and committed, and a check
//! makes it again and compares. Nothing in `generated/` is edited by hand.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Write as _;
use std::io::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, bail};
use serde_json::{Map, Value};

/// The families with operation tables, and the `Service` variant of each.
const FAMILIES: [(&str, &str); 5] = [
    ("lighthouse", "Lighthouse"),
    ("cdb", "Cdb"),
    ("dlc", "Dlc"),
    ("sae", "Sae"),
    ("cdb_v2", "CdbV2"),
];

/// The families that Backout serves: only these get typed requests and
/// responses, the rest would be dead code. The SAE contract does not say which
/// response members are always present, so there all of them may be absent.
const TYPED: [&str; 4] = ["lighthouse", "cdb", "sae", "dlc"];

/// What `encode_success` adds to an answer, by protocol (PROTOCOL.md sections
/// 1.6 and 5.1).
const TENCENT_ENVELOPE: [&str; 1] = ["RequestId"];
const SAE_ENVELOPE: [&str; 6] = [
    "Code",
    "ErrorCode",
    "Message",
    "RequestId",
    "Success",
    "TraceId",
];

/// Members that are secrets, or are often given some: what holds one must not
/// reach a log through Debug.
const SECRETS: [&str; 3] = ["Envs", "OssAkSecret", "Password"];

const HEADER: &str = "// Made by `cargo run -p xtask -- codegen`, do not edit.\n";

/// Writes the generated files.
pub fn write() -> Result<()> {
    for (path, text) in render_all()? {
        let old = std::fs::read_to_string(&path).unwrap_or_default();
        if old != text {
            std::fs::write(&path, text).with_context(|| format!("write {}", path.display()))?;
        }
    }
    Ok(())
}

/// Fails when a generated file is not what [`write`] would write.
pub fn check() -> Result<()> {
    let made = render_all()?;
    for (path, text) in &made {
        let old = std::fs::read_to_string(path).unwrap_or_default();
        if &old != text {
            bail!(
                "{} is stale, run `cargo run -p xtask -- codegen`",
                path.display()
            );
        }
    }
    let dir = generated_dir();
    for entry in std::fs::read_dir(&dir).with_context(|| format!("list {}", dir.display()))? {
        let path = entry?.path();
        if !made.iter().any(|(known, _)| known == &path) {
            bail!("{} is not made by codegen, delete it", path.display());
        }
    }
    Ok(())
}

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn generated_dir() -> PathBuf {
    root().join("crates/wire/src/generated")
}

fn load(name: &str) -> Result<Value> {
    let path = root().join("contract").join(format!("{name}.json"));
    let text =
        std::fs::read_to_string(&path).with_context(|| format!("read {}", path.display()))?;
    serde_json::from_str(&text).with_context(|| format!("parse {}", path.display()))
}

fn render_all() -> Result<Vec<(PathBuf, String)>> {
    let dir = generated_dir();
    let mut files = Vec::new();
    let mut modules = vec!["common".to_owned()];
    for (family, variant) in FAMILIES {
        let contract = load(family)?;
        let text = if family == "cdb_v2" {
            render_v2(&contract, variant)
        } else {
            render_operations(&contract, variant)
        }
        .with_context(|| format!("family {family}"))?;
        files.push((dir.join(format!("{family}.rs")), rustfmt(&text)?));
        modules.push(family.to_owned());
        if TYPED.contains(&family) {
            let text = render_types(&contract).with_context(|| format!("family {family}"))?;
            files.push((dir.join(format!("{family}_types.rs")), rustfmt(&text)?));
            modules.push(format!("{family}_types"));
        }
    }
    files.push((dir.join("common.rs"), rustfmt(&render_common()?)?));
    let mut text = String::from(HEADER);
    text.push_str("//! Tables and types made from `contract/*.json`.\n\n");
    modules.sort();
    for module in modules {
        writeln!(text, "pub(crate) mod {module};")?;
    }
    files.push((dir.join("mod.rs"), rustfmt(&text)?));
    Ok(files)
}

fn rustfmt(text: &str) -> Result<String> {
    let mut child = Command::new("rustfmt")
        .args(["--edition", "2024", "--emit", "stdout"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .context("start rustfmt")?;
    child
        .stdin
        .take()
        .context("stdin of rustfmt")?
        .write_all(text.as_bytes())?;
    let out = child.wait_with_output()?;
    if !out.status.success() {
        bail!("rustfmt refused the generated code:\n{text}");
    }
    Ok(String::from_utf8(out.stdout)?)
}

// ---- reading the contract ----

fn object<'a>(value: &'a Value, key: &str) -> Result<&'a Map<String, Value>> {
    value
        .get(key)
        .and_then(Value::as_object)
        .with_context(|| format!("no object {key}"))
}

fn array<'a>(value: &'a Value, key: &str) -> Result<&'a Vec<Value>> {
    value
        .get(key)
        .and_then(Value::as_array)
        .with_context(|| format!("no array {key}"))
}

fn text<'a>(value: &'a Value, key: &str) -> Result<&'a str> {
    value
        .get(key)
        .and_then(Value::as_str)
        .with_context(|| format!("no text {key} in {value}"))
}

fn flag(value: &Value, key: &str) -> bool {
    value.get(key).and_then(Value::as_bool).unwrap_or(false)
}

/// Operations sorted by name in byte order: the tables are searched by halves.
fn sorted(map: &Map<String, Value>) -> BTreeMap<&str, &Value> {
    map.iter().map(|(k, v)| (k.as_str(), v)).collect()
}

// ---- operation tables ----

struct Tables<'a> {
    types: &'a Map<String, Value>,
    used: BTreeSet<String>,
}

impl Tables<'_> {
    fn ty(&mut self, field: &Value) -> Result<String> {
        Ok(match text(field, "type")? {
            "string" => "Type::Text".to_owned(),
            "boolean" => "Type::Bool".to_owned(),
            "number" => "Type::Float".to_owned(),
            "integer" => if field.get("format").and_then(Value::as_str) == Some("uint64") {
                "Type::Uint"
            } else {
                "Type::Int"
            }
            .to_owned(),
            "array" => {
                let items = field.get("items").context("array without items")?;
                format!("Type::List(&{})", self.ty(items)?)
            }
            "object" if field.get("ref").is_some() => {
                let name = text(field, "ref")?;
                if self.used.insert(name.to_owned()) {
                    let fields = self
                        .types
                        .get(name)
                        .with_context(|| format!("no type {name}"))?;
                    // Walks what the type refers to, so that it is emitted too.
                    for field in array(fields, "fields")? {
                        self.ty(field)?;
                    }
                }
                format!("Type::Object(&{})", screaming(name))
            }
            "object" if field.get("map_values").is_some() => "Type::Map".to_owned(),
            other => bail!("type {other} of {field} is not known to codegen"),
        })
    }

    fn param(&mut self, field: &Value) -> Result<String> {
        let name = text(field, "name")?;
        let ty = self.ty(field)?;
        let make = if flag(field, "required") {
            "req"
        } else {
            "opt"
        };
        let mut out = format!("{make}({name:?}, {ty})");
        if flag(field, "disabled") {
            out.push_str(".dead()");
        }
        if let Some(max) = field.get("max").and_then(Value::as_u64) {
            write!(out, ".max({max})")?;
        }
        if let Some(max) = field.get("max_chars").and_then(Value::as_u64) {
            write!(out, ".max_chars({max})")?;
        }
        Ok(out)
    }

    /// The parameter lists of every type that a request refers to.
    fn statics(&mut self) -> Result<String> {
        let mut out = String::new();
        for name in self.used.clone() {
            let fields = self.types.get(&name).context("type vanished")?;
            let fields = array(fields, "fields")?;
            writeln!(
                out,
                "static {}: [Param; {}] = [",
                screaming(&name),
                fields.len()
            )?;
            for field in fields {
                writeln!(out, "{},", self.param(field)?)?;
            }
            out.push_str("];\n\n");
        }
        Ok(out)
    }
}

fn render_operations(contract: &Value, variant: &str) -> Result<String> {
    let empty = Map::new();
    let operations = sorted(object(contract, "operations")?);
    let version = text(contract, "version")?;
    let mut tables = Tables {
        types: contract
            .get("types")
            .and_then(Value::as_object)
            .unwrap_or(&empty),
        used: BTreeSet::new(),
    };
    let mut body = String::new();
    writeln!(
        body,
        "pub(crate) static OPERATIONS: [Operation; {}] = [",
        operations.len()
    )?;
    for (name, operation) in &operations {
        let http = operation.get("http").context("no http")?;
        let (method, path) = match http.get("method").and_then(Value::as_str) {
            Some(method) => (method, text(http, "path")?),
            // Tencent: POST or GET at one path, told apart by the action.
            None => ("", text(http, "path")?),
        };
        let params: Vec<String> = array(operation, "request")?
            .iter()
            .map(|p| tables.param(p))
            .collect::<Result<_>>()?;
        let response = operation.get("response").context("no response")?;
        let members = match response {
            Value::Array(list) => list.clone(),
            other => {
                let name = text(other, "ref")?;
                let ty = tables
                    .types
                    .get(name)
                    .with_context(|| format!("no type {name}"))?;
                array(ty, "fields")?.clone()
            }
        };
        let mut fields = Vec::new();
        for member in &members {
            let make = if flag(member, "always_present") {
                "always"
            } else {
                "maybe"
            };
            let tail = if flag(member, "nullable") {
                ".nullable()"
            } else {
                ""
            };
            fields.push(format!("{make}({:?}){tail}", text(member, "name")?));
        }
        let errors: Vec<&str> = operation
            .get("errors")
            .and_then(Value::as_array)
            .map(|list| list.iter().filter_map(Value::as_str).collect())
            .unwrap_or_default();
        writeln!(
            body,
            "Operation {{ service: Service::{variant}, version: {version:?}, name: {name:?}, \
             write: {}, method: {method:?}, path: {path:?}, params: &[{}], response: &[{}], \
             errors: &{errors:?} }},",
            text(operation, "access")? == "write",
            params.join(", "),
            fields.join(", "),
        )?;
    }
    body.push_str("];\n\n");
    body.push_str(&tables.statics()?);
    if variant == "Sae" {
        body.push_str(
            "/// Code, HTTP status and message of every error of this service.\n\
             pub(crate) static ERRORS: &[(&str, u16, &str)] = &[\n",
        );
        for (code, error) in sorted(object(contract, "error_codes")?) {
            let status = error
                .get("http_status")
                .and_then(Value::as_u64)
                .unwrap_or(400);
            let template = error
                .get("message_template")
                .and_then(Value::as_str)
                .unwrap_or("");
            writeln!(body, "({code:?}, {status}, {template:?}),")?;
        }
        body.push_str("];\n");
    }
    Ok(format!("{HEADER}\n{}\n{body}", imports(&body)))
}

/// Only what the body uses, so that no import is dead.
fn imports(body: &str) -> String {
    let mut names = vec!["Operation", "Service"];
    if body.contains("[Param;") {
        names.push("Param");
    }
    if body.contains("Type::") {
        names.push("Type");
    }
    for name in ["req", "opt", "always", "maybe"] {
        if body.contains(&format!("{name}(\"")) {
            names.push(name);
        }
    }
    names.sort_unstable();
    format!("use crate::contract::{{{}}};\n", names.join(", "))
}

/// The legacy contract writes lists as `ids.n` and lists of objects as
/// `instances.n.field`; here they are folded into the same shapes as the rest.
fn render_v2(contract: &Value, variant: &str) -> Result<String> {
    let operations = sorted(object(contract, "operations")?);
    let mut body = String::new();
    writeln!(
        body,
        "pub(crate) static OPERATIONS: [Operation; {}] = [",
        operations.len()
    )?;
    let mut modules = String::new();
    for (name, operation) in &operations {
        let mut params: Vec<String> = Vec::new();
        let mut nested: Vec<(String, Vec<String>, bool)> = Vec::new();
        for field in array(operation, "request")? {
            let wire = text(field, "name")?;
            let required = flag(field, "required");
            let make = if required { "req" } else { "opt" };
            let ty = match text(field, "type")? {
                "string" => "Type::Text",
                "integer" => "Type::Int",
                "array of string" => "Type::List(&Type::Text)",
                "array of integer" => "Type::List(&Type::Int)",
                other => bail!("type {other} of {wire} is not known to codegen"),
            };
            if let Some((list, member)) = wire.split_once(".n.") {
                let made = format!("{make}({member:?}, {ty})");
                match nested.iter_mut().find(|(known, _, _)| known == list) {
                    Some((_, members, must)) => {
                        members.push(made);
                        *must |= required;
                    }
                    None => nested.push((list.to_owned(), vec![made], required)),
                }
                continue;
            }
            let plain = wire.strip_suffix(".n").unwrap_or(wire);
            let mut made = format!("{make}({plain:?}, {ty})");
            if let Some(max) = field.get("max").and_then(Value::as_u64) {
                write!(made, ".max({max})")?;
            }
            params.push(made);
        }
        for (list, members, must) in nested {
            params.push(format!(
                "{}({list:?}, Type::List(&Type::Object(&[{}])))",
                if must { "req" } else { "opt" },
                members.join(", ")
            ));
        }
        let mut fields = Vec::new();
        for member in array(operation, "response")? {
            fields.push(format!("maybe({:?})", text(member, "name")?));
        }
        let mut errors = Vec::new();
        for error in array(operation, "errors")? {
            let code = error
                .get("module_code")
                .and_then(Value::as_u64)
                .context("no module_code")?;
            writeln!(
                modules,
                "({name:?}, {code}, {:?}),",
                text(error, "codeDesc")?
            )?;
            errors.push(code.to_string());
        }
        writeln!(
            body,
            "Operation {{ service: Service::{variant}, version: \"\", name: {name:?}, write: {}, \
             method: \"\", path: {:?}, params: &[{}], response: &[{}], errors: &{errors:?} }},",
            text(operation, "access")? == "write",
            text(contract, "path")?,
            params.join(", "),
            fields.join(", "),
        )?;
    }
    body.push_str("];\n\n");
    write!(
        body,
        "/// Operation, module number and `codeDesc` of every error of this service.\n\
         pub(crate) static MODULE_CODES: &[(&str, u32, &str)] = &[\n{modules}];\n"
    )?;
    Ok(format!("{HEADER}\n{}\n{body}", imports(&body)))
}

fn render_common() -> Result<String> {
    let common = load("common")?;
    let mut out = String::from(HEADER);
    out.push_str(
        "\n/// Every common error code of Tencent API 3.0.\n\
         pub(crate) static TENCENT_CODES: &[&str] = &[\n",
    );
    for code in array(&common["tencent_api3"], "codes")? {
        writeln!(out, "{:?},", text(code, "code")?)?;
    }
    out.push_str(
        "];\n\n/// Number and `codeDesc` of every common error code of the legacy API.\n\
         pub(crate) static QCLOUD_CODES: &[(u32, &str)] = &[\n",
    );
    for code in array(&common["qcloud_v2"], "codes")? {
        let number = code.get("code").and_then(Value::as_u64).context("code")?;
        writeln!(out, "({number}, {:?}),", text(code, "codeDesc")?)?;
    }
    out.push_str(
        "];\n\n/// Code and HTTP status of every gateway error of Alibaba Cloud.\n\
         pub(crate) static ALIBABA_CODES: &[(&str, u16)] = &[\n",
    );
    for code in array(&common["alibaba"], "codes")? {
        let status = code
            .get("http_status")
            .and_then(Value::as_u64)
            .context("http_status")?;
        writeln!(out, "({:?}, {status}),", text(code, "code")?)?;
    }
    out.push_str("];\n");
    Ok(out)
}

// ---- typed requests and responses ----

fn render_types(contract: &Value) -> Result<String> {
    let operations = sorted(object(contract, "operations")?);
    let types = object(contract, "types")?;
    let envelope: &[&str] = match text(contract, "provider")? {
        "alibaba" => &SAE_ENVELOPE,
        _ => &TENCENT_ENVELOPE,
    };
    // A type that is all of an answer is made with its operation.
    let whole: BTreeSet<&str> = operations
        .values()
        .filter_map(|operation| operation["response"]["ref"].as_str())
        .collect();
    let mut body = String::new();
    for (name, ty) in &sorted(types) {
        if whole.contains(name) {
            continue;
        }
        render_struct(
            &mut body,
            &type_name(name),
            &format!("`{name}` of the contract."),
            array(ty, "fields")?,
        )?;
    }
    for (name, operation) in &operations {
        let summary = text(operation, "summary")?;
        render_struct(
            &mut body,
            &format!("{name}Request"),
            &format!("Parameters of `{name}`: {}.", doc(summary)),
            array(operation, "request")?,
        )?;
        let response = match operation.get("response").context("no response")? {
            Value::Array(list) => list,
            other => {
                let ty = types.get(text(other, "ref")?).context("no such type")?;
                array(ty, "fields")?
            }
        };
        let members: Vec<Value> = response
            .iter()
            .filter(|f| !envelope.iter().any(|known| f["name"] == *known))
            .cloned()
            .collect();
        let added = match envelope {
            [one] => format!("the envelope adds the {one}"),
            _ => "the envelope adds what all answers have".to_owned(),
        };
        render_struct(
            &mut body,
            &format!("{name}Response"),
            &format!("Result of `{name}`; {added}."),
            &members,
        )?;
    }
    let maps = match body.contains("BTreeMap<") {
        true => "use std::collections::BTreeMap;\n\n",
        false => "",
    };
    Ok(format!(
        "{HEADER}\n{maps}use serde::{{Deserialize, Serialize}};\n\n{body}"
    ))
}

/// The name of a contract's type here: the part that all answers of a family
/// have in their names tells nothing.
fn type_name(name: &str) -> String {
    name.replacen("ResponseBody", "", 1)
}

fn render_struct(out: &mut String, name: &str, about: &str, fields: &[Value]) -> Result<()> {
    let secret = fields.iter().any(|f| {
        f.get("name")
            .and_then(Value::as_str)
            .is_some_and(|name| SECRETS.contains(&name))
    });
    writeln!(out, "/// {about}")?;
    let debug = if secret { "" } else { "Debug, " };
    writeln!(
        out,
        "#[derive(Clone, {debug}Default, PartialEq, Serialize, Deserialize)]\n\
         #[serde(rename_all = \"PascalCase\")]\npub struct {name} {{"
    )?;
    for field in fields {
        let wire = text(field, "name")?;
        let rust = snake(wire);
        writeln!(out, "/// {}.", doc(text(field, "summary")?))?;
        let base = rust_type(field)?;
        let mut serde: Vec<String> = Vec::new();
        if pascal(&rust) != wire {
            serde.push(format!("rename = {wire:?}"));
        }
        let list = text(field, "type")? == "array";
        let ty = if field.get("required").is_some() {
            match (flag(field, "required"), list) {
                (true, _) => base,
                // An absent list and an empty one are the same request: empty
                // lists vanish from a GET (PROTOCOL.md section 1.1).
                (false, true) => {
                    serde.push("default".into());
                    serde.push("skip_serializing_if = \"Vec::is_empty\"".into());
                    base
                }
                (false, false) => {
                    serde.push("default".into());
                    serde.push("skip_serializing_if = \"Option::is_none\"".into());
                    format!("Option<{base}>")
                }
            }
        } else if flag(field, "disabled") || !flag(field, "always_present") {
            serde.push("default".into());
            serde.push("skip_serializing_if = \"Option::is_none\"".into());
            format!("Option<{base}>")
        } else if flag(field, "nullable") {
            format!("Option<{base}>")
        } else {
            base
        };
        if !serde.is_empty() {
            writeln!(out, "#[serde({})]", serde.join(", "))?;
        }
        writeln!(out, "pub {rust}: {ty},")?;
    }
    out.push_str("}\n\n");
    if secret {
        writeln!(
            out,
            "impl std::fmt::Debug for {name} {{\n\
             fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {{\n\
             // Holds a secret, so none of its members is shown.\n\
             f.debug_struct({name:?}).finish_non_exhaustive()\n}}\n}}\n"
        )?;
    }
    Ok(())
}

fn rust_type(field: &Value) -> Result<String> {
    Ok(match text(field, "type")? {
        "string" => "String".to_owned(),
        "boolean" => "bool".to_owned(),
        "number" => "f64".to_owned(),
        "integer" => if field.get("format").and_then(Value::as_str) == Some("uint64") {
            "u64"
        } else {
            "i64"
        }
        .to_owned(),
        "array" => {
            let items = field.get("items").context("array without items")?;
            format!("Vec<{}>", rust_type(items)?)
        }
        "object" if field.get("map_values").is_some() => "BTreeMap<String, String>".to_owned(),
        "object" => type_name(text(field, "ref")?),
        other => bail!("type {other} of {field} is not known to codegen"),
    })
}

// ---- names and texts ----

fn snake(name: &str) -> String {
    let chars: Vec<char> = name.chars().collect();
    let mut out = String::new();
    for (i, &c) in chars.iter().enumerate() {
        let after_small = i > 0 && !chars[i - 1].is_uppercase();
        let before_small = chars.get(i + 1).is_some_and(|n| n.is_lowercase());
        if c.is_uppercase() && i > 0 && (after_small || before_small) {
            out.push('_');
        }
        out.extend(c.to_lowercase());
    }
    if matches!(
        out.as_str(),
        "type" | "match" | "use" | "in" | "ref" | "self"
    ) {
        out.push('_');
    }
    out
}

/// What serde's PascalCase rule makes of a field name.
fn pascal(snake: &str) -> String {
    snake
        .split('_')
        .map(|word| {
            let mut chars = word.chars();
            chars
                .next()
                .map(|c| c.to_uppercase().collect::<String>() + chars.as_str())
                .unwrap_or_default()
        })
        .collect()
}

fn screaming(name: &str) -> String {
    snake(name).to_uppercase()
}

/// A summary as rustdoc text.
fn doc(summary: &str) -> String {
    summary
        .trim_end_matches('.')
        .replace('<', "\\<")
        .replace('>', "\\>")
        .replace('[', "\\[")
        .replace(']', "\\]")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn committed_code_is_what_the_contract_makes() -> Result<()> {
        check()
    }

    #[test]
    fn names() {
        for (name, expect) in [
            ("CPU", "cpu"),
            ("OsName", "os_name"),
            ("SupportIpv6Detail", "support_ipv6_detail"),
            ("DBInstanceId", "db_instance_id"),
            ("Type", "type_"),
        ] {
            assert_eq!(snake(name), expect);
        }
        assert_eq!(pascal("os_name"), "OsName");
    }
}
