//! The commands for servers, data disks, images and restore points.

use serde_json::{Value, json};

use super::{
    LIST_MAX, Said, Shell, absolute, confirm, ended, follow, judge_proposal, judged, no_wait,
    server_path, waited, word,
};
use crate::args;
use crate::client::{Client, encoded};
use crate::failure::{Exit, Failure, Outcome};
use crate::render::{self, member, text};

pub(super) fn servers(shell: &Shell, command: &args::Servers) -> Outcome<Said> {
    let style = shell.style;
    let client = shell.client()?;
    match command {
        args::Servers::List => {
            let items = client.list("/v1/servers", &[], LIST_MAX)?;
            Ok(Said::new(json!(items), render::servers(style, &items)))
        }
        args::Servers::Show { server } => show_server(shell, client.get(&server_path(server))?),
        args::Servers::Add(add) => add_server(shell, &client, add),
        args::Servers::Create(create) => create_servers(shell, &client, create),
        args::Servers::Start { servers, wait } => {
            let answer = client.start("/v1/start", &json!({ "servers": servers }), None)?;
            batch(shell, &client, answer, *wait)
        }
        args::Servers::Stop { servers, how, wait } => {
            let body = json!({ "servers": servers, "how": how.as_str() });
            let answer = client.start("/v1/stop", &body, None)?;
            batch(shell, &client, answer, *wait)
        }
        args::Servers::Reboot { servers, how, wait } => {
            let body = json!({ "servers": servers, "how": how.as_str() });
            let answer = client.start("/v1/reboot", &body, None)?;
            batch(shell, &client, answer, *wait)
        }
        args::Servers::Isolate {
            servers,
            with_disks,
            yes,
            wait,
        } => {
            if !yes {
                let more = if *with_disks { " --with-disks" } else { "" };
                let question = "give them back? they do not start again";
                confirm_servers(shell, &client, servers, question, "isolate", more)?;
            }
            let body = json!({ "servers": servers, "with_disks": with_disks });
            let answer = client.start("/v1/isolate", &body, None)?;
            batch(shell, &client, answer, *wait)
        }
        args::Servers::Terminate { servers, yes, wait } => {
            if !yes {
                let question =
                    "remove them? disks that were made of an image go, with their restore points";
                confirm_servers(shell, &client, servers, question, "terminate", "")?;
            }
            let answer = client.start("/v1/terminate", &json!({ "servers": servers }), None)?;
            batch(shell, &client, answer, *wait)
        }
        args::Servers::Reset {
            server,
            image,
            yes,
            wait,
        } => {
            if !yes {
                let found = client.get(&server_path(server))?;
                let mut again = format!("backout servers reset {}", word(server));
                if let Some(image) = image {
                    again.push_str(&format!(" --image {}", word(image)));
                }
                let what = render::server(shell.err_style, &found);
                let question = "make its system disk anew?";
                confirm(shell, &what, question, &format!("{again} --yes"))?;
            }
            let body = image
                .as_ref()
                .map_or_else(|| json!({}), |image| json!({ "image": image }));
            let answer = client.start(&format!("{}/reset", server_path(server)), &body, None)?;
            let Some(job) = waited(shell, &client, &answer, *wait)? else {
                return Ok(no_wait(answer));
            };
            Ok(ended(shell, &job, "undo it with: backout undo"))
        }
        args::Servers::Rename { server, name } => {
            let answer = client.patch(&server_path(server), &json!({ "name": name }))?;
            show_server(shell, answer)
        }
        args::Servers::Set {
            server,
            start_cmd,
            stop_cmd,
        } => {
            let mut body = json!({});
            for (name, value) in [("start_cmd", start_cmd), ("stop_cmd", stop_cmd)] {
                if let Some(value) = value {
                    body[name] = json!(value);
                }
            }
            show_server(shell, client.patch(&server_path(server), &body)?)
        }
        args::Servers::Compact { server, compact } => {
            compacted(shell, &client, &format!("server/{server}"), *compact)
        }
        args::Servers::Schedule(schedule) => {
            let path = format!("{}/schedule", server_path(&schedule.server));
            let answer = match schedule.every_s {
                Some(every_s) => client.put(
                    &path,
                    &json!({ "every_seconds": every_s, "keep": schedule.keep }),
                )?,
                None => client.delete(&path)?,
            };
            show_server(shell, answer)
        }
        args::Servers::Sizes => {
            let mut answer = client.get("/v1/sizes")?;
            let items = answer["items"].take();
            let human = render::sizes(style, items.as_array().map_or(&[], Vec::as_slice));
            Ok(Said::new(items, human))
        }
        args::Servers::Remove { server, yes, wait } => {
            if !yes {
                let found = client.get(&server_path(server))?;
                let what = render::server(style, &found);
                let again = format!("backout servers remove {} --yes", word(server));
                confirm(shell, &what, "take it out of management?", &again)?;
            }
            let answer = client.delete(&server_path(server))?;
            let Some(job) = waited(shell, &client, &answer, *wait)? else {
                return Ok(no_wait(answer));
            };
            Ok(Said::new(
                json!({ "job": job }),
                format!(
                    "{server} is out of management; its disk and restore points are where they were\n"
                ),
            ))
        }
    }
}

fn show_server(shell: &Shell, server: Value) -> Outcome<Said> {
    let human = render::server(shell.style, &server);
    Ok(Said::new(server, human))
}

fn add_server(shell: &Shell, client: &Client, add: &args::AddServer) -> Outcome<Said> {
    let disk = absolute(&add.disk)?;
    let mut body = json!({ "name": add.name, "disk": disk });
    if let Some(format) = add.format {
        body["format"] = json!(format.as_str());
    }
    if let Some(driver) = add.driver {
        body["driver"] = json!(driver.as_str());
    }
    for (name, value) in [("start_cmd", &add.start_cmd), ("stop_cmd", &add.stop_cmd)] {
        if let Some(value) = value {
            body[name] = json!(value);
        }
    }
    if add.running {
        body["running"] = json!(true);
    }
    let boot = boot(&add.boot)?;
    if add.machine {
        let mut machine = json!({ "forwards": forwards(&add.forward) });
        if let Some(cpus) = add.cpus {
            machine["cpus"] = json!(cpus);
        }
        if let Some(memory) = add.memory {
            machine["memory_bytes"] = json!(memory.0);
        }
        if let Some(boot) = boot {
            machine["boot"] = boot;
        }
        body["machine"] = machine;
    } else if boot.is_some() {
        return Err(Failure::usage(
            "boot a kernel on a server that is no machine: add --machine, or leave --kernel out",
        ));
    }
    let answer = client.start("/v1/servers", &body, None)?;
    let Some(job) = waited(shell, client, &answer, add.wait)? else {
        return Ok(no_wait(answer));
    };
    let server = client.get(&server_path(&text(&answer, "server.id")))?;
    let human = render::server(shell.style, &server);
    let mut value = server;
    // Beside the server's own members, which scripts read.
    value["added_by"] = job["id"].clone();
    Ok(Said::new(value, human))
}

/// What a machine boots, as the API takes it.
fn boot(boot: &args::Boot) -> Outcome<Option<Value>> {
    let Some(kernel) = &boot.kernel else {
        return Ok(None);
    };
    let mut out = json!({ "kernel": absolute(kernel)? });
    if let Some(initrd) = &boot.initrd {
        out["initrd"] = json!(absolute(initrd)?);
    }
    if let Some(append) = &boot.append {
        out["append"] = json!(append);
    }
    Ok(Some(out))
}

fn forwards(ports: &[(u16, u16)]) -> Value {
    ports
        .iter()
        .map(|(host, guest)| json!({ "host": host, "guest": guest }))
        .collect()
}

fn create_servers(shell: &Shell, client: &Client, c: &args::CreateServers) -> Outcome<Said> {
    let path = format!("/v1/images/{}/servers", encoded(&c.image));
    let body = json!({
        "name": c.name,
        "count": c.count,
        "size": c.size,
        "forwards": forwards(&c.forward),
    });
    if c.dry_run {
        let answer = client.post(&format!("{path}/plan"), &body)?;
        let human = render::plan(shell.style, &answer);
        return judge_proposal(answer, human);
    }
    let answer = client.start(&path, &body, None)?;
    let made = member(&answer, "servers")
        .as_array()
        .cloned()
        .unwrap_or_default();
    let all = |name: &str| -> Vec<String> { made.iter().map(|s| text(s, name)).collect() };
    if c.wait.no_wait {
        let lines = all("job").iter().map(|job| format!("{job}\n")).collect();
        return Ok(Said::new(answer, lines));
    }
    let jobs = followed(shell, client, &all("job"))?;
    let mut servers = Vec::new();
    for id in all("id") {
        servers.push(client.get(&server_path(&id))?);
    }
    let human = render::servers(shell.style, &servers);
    Ok(Said::new(
        json!({ "servers": servers, "jobs": jobs }),
        human,
    ))
}

fn confirm_servers(
    shell: &Shell,
    client: &Client,
    servers: &[String],
    question: &str,
    command: &str,
    more: &str,
) -> Outcome<()> {
    let mut found = Vec::new();
    for server in servers {
        found.push(client.get(&server_path(server))?);
    }
    let what = render::servers(shell.err_style, &found);
    let words: Vec<String> = servers.iter().map(|s| word(s)).collect();
    let again = format!("backout servers {command} {}{more} --yes", words.join(" "));
    confirm(shell, &what, question, &again)
}

/// Follows the jobs of one call to their ends, unless that is not wanted.
fn batch(shell: &Shell, client: &Client, answer: Value, wait: args::Wait) -> Outcome<Said> {
    let ids: Vec<String> = member(&answer, "jobs")
        .as_array()
        .map_or(&[][..], Vec::as_slice)
        .iter()
        .filter_map(|id| id.as_str().map(str::to_owned))
        .collect();
    if wait.no_wait {
        let lines = ids.iter().map(|id| format!("{id}\n")).collect();
        return Ok(Said::new(answer, lines));
    }
    let jobs = followed(shell, client, &ids)?;
    let human = applied(shell, &jobs);
    Ok(Said::new(json!({ "jobs": jobs }), human))
}

/// Follows jobs to their ends, all of them: one that fails does not keep the
/// others from being seen. Fails as the first one that did not end as applied.
fn followed(shell: &Shell, client: &Client, ids: &[String]) -> Outcome<Vec<Value>> {
    if ids.is_empty() {
        return Err(Failure::new(
            Exit::Failed,
            "read the server's answer: it names no job; is it another version?",
        ));
    }
    let mut jobs = Vec::new();
    let mut failed = None;
    for id in ids {
        let job = follow(shell, client, id)?;
        if let Err(failure) = judged(&job)
            && failed.is_none()
        {
            failed = Some(failure);
        }
        jobs.push(job);
    }
    match failed {
        None => Ok(jobs),
        Some(mut failure) => {
            failure.shown = applied(shell, &jobs);
            Err(failure.with("jobs", json!(jobs)))
        }
    }
}

/// A line for each job that was applied.
fn applied(shell: &Shell, jobs: &[Value]) -> String {
    jobs.iter()
        .filter(|job| member(job, "outcome") == "applied")
        .map(|job| {
            format!(
                "{} {}: {}\n",
                shell.style.good("applied"),
                text(job, "id"),
                text(job, "title")
            )
        })
        .collect()
}

fn compacted(
    shell: &Shell,
    client: &Client,
    resource: &str,
    compact: args::CompactHow,
) -> Outcome<Said> {
    let body = json!({ "resource": resource });
    if compact.dry_run {
        let answer = client.post("/v1/compact/plan", &body)?;
        let human = render::plan(shell.style, &answer);
        return judge_proposal(answer, human);
    }
    let answer = client.start("/v1/compact", &body, None)?;
    let Some(job) = waited(shell, client, &answer, compact.wait)? else {
        return Ok(no_wait(answer));
    };
    let human = applied(shell, std::slice::from_ref(&job));
    Ok(Said::new(json!({ "job": job }), human))
}

fn disk_path(disk: &str) -> String {
    format!("/v1/disks/{}", encoded(disk))
}

pub(super) fn disks(shell: &Shell, command: &args::Disks) -> Outcome<Said> {
    let style = shell.style;
    let client = shell.client()?;
    match command {
        args::Disks::List { server, all } => {
            let mut query = Vec::new();
            if !all {
                query.push(("usage", "data"));
            }
            if let Some(server) = server {
                query.push(("server", server.as_str()));
            }
            let items = client.list("/v1/disks", &query, LIST_MAX)?;
            Ok(Said::new(json!(items), render::disks(style, &items)))
        }
        args::Disks::Show { disk } => {
            let answer = client.get(&disk_path(disk))?;
            let human = render::disk(style, &answer);
            Ok(Said::new(answer, human))
        }
        args::Disks::Add(add) => {
            let mut body = json!({ "name": add.name });
            if let Some(file) = &add.file {
                body["file"] = json!(absolute(file)?);
            }
            if let Some(size) = add.size {
                body["size_bytes"] = json!(size.0);
            }
            if let Some(format) = add.format {
                body["format"] = json!(format.as_str());
            }
            if let Some(driver) = add.driver {
                body["driver"] = json!(driver.as_str());
            }
            let answer = client.start("/v1/disks", &body, None)?;
            let Some(job) = waited(shell, &client, &answer, add.wait)? else {
                return Ok(no_wait(answer));
            };
            let mut disk = client.get(&disk_path(&text(&answer, "disk.id")))?;
            let human = render::disk(style, &disk);
            disk["added_by"] = job["id"].clone();
            Ok(Said::new(disk, human))
        }
        args::Disks::Attach { disk, server, wait } => {
            let body = json!({ "disks": [disk], "server": server });
            let answer = client.start("/v1/attach", &body, None)?;
            batch(shell, &client, answer, *wait)
        }
        args::Disks::Detach { disk, wait } => {
            let answer = client.start("/v1/detach", &json!({ "disks": [disk] }), None)?;
            batch(shell, &client, answer, *wait)
        }
        args::Disks::Compact { disk, compact } => {
            compacted(shell, &client, &format!("disk/{disk}"), *compact)
        }
        args::Disks::Remove { disk, yes, wait } => {
            let found = client.get(&disk_path(disk))?;
            let made = member(&found, "made") == &Value::Bool(true);
            if !yes {
                let question = if made {
                    "remove it, with its contents and restore points?"
                } else {
                    "take it out of management?"
                };
                let what = render::disk(shell.err_style, &found);
                let again = format!("backout disks remove {} --yes", word(disk));
                confirm(shell, &what, question, &again)?;
            }
            let answer = client.delete(&disk_path(disk))?;
            let Some(job) = waited(shell, &client, &answer, *wait)? else {
                return Ok(no_wait(answer));
            };
            let human = if made {
                format!("{disk} is removed, with its restore points\n")
            } else {
                format!(
                    "{disk} is out of management; its file and restore points are where they were\n"
                )
            };
            Ok(Said::new(json!({ "job": job }), human))
        }
    }
}

pub(super) fn images(shell: &Shell, command: &args::Images) -> Outcome<Said> {
    let style = shell.style;
    let client = shell.client()?;
    let path = |image: &str| format!("/v1/images/{}", encoded(image));
    match command {
        args::Images::List => {
            let items = client.list("/v1/images", &[], LIST_MAX)?;
            Ok(Said::new(json!(items), render::images(style, &items)))
        }
        args::Images::Show { image } => {
            let answer = client.get(&path(image))?;
            let human = render::image(style, &answer);
            Ok(Said::new(answer, human))
        }
        args::Images::Add {
            name,
            file,
            format,
            description,
            boot: kernel,
        } => {
            let mut body = json!({ "name": name, "file": absolute(file)? });
            if let Some(format) = format {
                body["format"] = json!(format.as_str());
            }
            if let Some(description) = description {
                body["description"] = json!(description);
            }
            if let Some(boot) = boot(kernel)? {
                body["boot"] = boot;
            }
            let answer = client.post("/v1/images", &body)?;
            let human = render::image(style, &answer);
            Ok(Said::new(answer, human))
        }
        args::Images::Create {
            name,
            server,
            description,
            force_stop,
            wait,
        } => {
            let mut body = json!({ "name": name, "force_stop": force_stop });
            if let Some(description) = description {
                body["description"] = json!(description);
            }
            let answer = client.start(&format!("{}/images", server_path(server)), &body, None)?;
            let Some(job) = waited(shell, &client, &answer, *wait)? else {
                return Ok(no_wait(answer));
            };
            let id = answer["image_id"].clone();
            let human = format!("{}\n", id.as_str().unwrap_or_default());
            Ok(Said::new(json!({ "image_id": id, "job": job }), human))
        }
        args::Images::Delete { image, wait } => {
            let answer = client.delete(&path(image))?;
            let Some(job) = waited(shell, &client, &answer, *wait)? else {
                return Ok(no_wait(answer));
            };
            Ok(Said::new(
                json!({ "image_id": image, "job": job }),
                format!("deleted {image}\n"),
            ))
        }
    }
}

/// Where the restore points of a resource are: `server/NAME`, `disk/NAME`, or
/// just the name of a server.
fn points_path(resource: &str) -> String {
    let of = match resource.split_once('/') {
        Some(("disk", disk)) => disk_path(disk),
        Some(("server", server)) => server_path(server),
        _ => server_path(resource),
    };
    format!("{of}/snapshots")
}

pub(super) fn snapshots(shell: &Shell, command: &args::Snapshots) -> Outcome<Said> {
    let style = shell.style;
    let client = shell.client()?;
    let path = |snapshot: &str| format!("/v1/snapshots/{}", encoded(snapshot));
    match command {
        args::Snapshots::List {
            resource: Some(resource),
        } => {
            let items = client.list(&points_path(resource), &[], LIST_MAX)?;
            Ok(Said::new(json!(items), render::snapshots(style, &items)))
        }
        args::Snapshots::List { resource: None } => {
            let mut items = Vec::new();
            for found in client.list("/v1/resources", &[], LIST_MAX)? {
                let of = format!("{}/{}", text(&found, "kind"), text(&found, "id"));
                items.extend(client.list(&points_path(&of), &[], LIST_MAX)?);
            }
            Ok(Said::new(json!(items), render::snapshots(style, &items)))
        }
        args::Snapshots::Create {
            resource,
            name,
            wait,
        } => {
            let mut body = json!({});
            if let Some(name) = name {
                body["name"] = json!(name);
            }
            let answer = client.start(&points_path(resource), &body, None)?;
            let Some(job) = waited(shell, &client, &answer, *wait)? else {
                return Ok(no_wait(answer));
            };
            let id = answer["snapshot_id"].clone();
            let human = format!("{}\n", id.as_str().unwrap_or_default());
            Ok(Said::new(json!({ "snapshot_id": id, "job": job }), human))
        }
        args::Snapshots::Rename { snapshot, name } => {
            let answer = client.patch(&path(snapshot), &json!({ "name": name }))?;
            let human = render::snapshots(style, std::slice::from_ref(&answer));
            Ok(Said::new(answer, human))
        }
        args::Snapshots::Delete { snapshot, wait } => {
            let answer = client.delete(&path(snapshot))?;
            let Some(job) = waited(shell, &client, &answer, *wait)? else {
                return Ok(no_wait(answer));
            };
            Ok(Said::new(
                json!({ "snapshot_id": snapshot, "job": job }),
                format!("deleted {snapshot}\n"),
            ))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn restore_points_are_found_by_what_they_are_of() {
        for (resource, want) in [
            ("web", "/v1/servers/web/snapshots"),
            ("server/web", "/v1/servers/web/snapshots"),
            ("disk/a b", "/v1/disks/a%20b/snapshots"),
            ("odd/web", "/v1/servers/odd%2Fweb/snapshots"),
            ("server/disk/x", "/v1/servers/disk%2Fx/snapshots"),
        ] {
            assert_eq!(points_path(resource), want);
        }
    }
}
