//! Which QEMU is here, and whether KVM truly works.

use std::io::Read as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::model::Capabilities;

/// Name of the program.
const PROGRAM: &str = "qemu-system-x86_64";

/// Where it lies, when it is not in the path that we were started with.
const FOLDERS: [&str; 3] = ["/usr/bin", "/usr/local/bin", "/usr/libexec"];

/// What was found out, in the runtime folder. No machine can have that id.
const VERDICT: &str = "accelerator.json";

/// How long emulation may take to run a few instructions: a tenth of a second
/// where nothing else goes on.
const EMULATED_PATIENCE: Duration = Duration::from_secs(20);

/// How long KVM may take for the same. It works in a twentieth of that, or has
/// to be left alone: there are hosts where it is there and nothing ever runs.
const KVM_PATIENCE: Duration = Duration::from_secs(3);

/// What takes less is never called slow.
const KVM_QUICK: Duration = Duration::from_millis(500);

/// Most that is kept of what QEMU says, in bytes.
const SAID_MAX_BYTES: u64 = 2000;

/// What the guest of the trial writes to a port, and what QEMU makes of it.
const WORD: u8 = 0x2a;
const EXIT: i32 = (WORD as i32) << 1 | 1;

/// What was found out, and for what that holds.
#[derive(Debug, Serialize, Deserialize)]
struct Verdict {
    /// Another boot may have another kernel.
    boot_id: String,
    version: String,
    found: Capabilities,
}

/// What this host can do. Runs a guest of a few instructions, the first time
/// since the host started; `runtime` is where the outcome is remembered.
#[must_use]
pub fn capabilities(runtime: Option<&Path>) -> Capabilities {
    let none = |why: String| Capabilities {
        qemu: None,
        qemu_why: Some(why),
        accelerator: None,
        kvm_why: None,
        sandbox: false,
    };
    let Some(program) = program() else {
        return none(format!(
            "{PROGRAM} is not installed: install qemu-system-x86"
        ));
    };
    let Some(version) = version(&program) else {
        return none(format!("{} does not tell its version", program.display()));
    };
    let boot_id = backout_shim::boot_id().unwrap_or_default();
    let file = runtime.map(|folder| folder.join(VERDICT));
    let known = file.as_deref().and_then(|file| {
        let known: Verdict = serde_json::from_slice(&std::fs::read(file).ok()?).ok()?;
        (known.boot_id == boot_id && known.version == version).then_some(known.found)
    });
    if let Some(found) = known {
        return found;
    }
    let found = match trial(&program, &version) {
        Ok(found) => found,
        // Not remembered: it may well be the moment's fault.
        Err(why) => return none(why),
    };
    if let Some(file) = file {
        // What cannot be remembered is found out again.
        let _ = remember(
            &file,
            &Verdict {
                boot_id,
                version,
                found: found.clone(),
            },
        );
    }
    found
}

/// The program, by its absolute path.
pub(crate) fn program() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    std::env::split_paths(&path)
        .filter(|folder| folder.is_absolute())
        .chain(FOLDERS.iter().map(PathBuf::from))
        .map(|folder| folder.join(PROGRAM))
        .find(|program| program.is_file())
}

fn version(program: &Path) -> Option<String> {
    let output = Command::new(program)
        .arg("--version")
        .stdin(Stdio::null())
        .output()
        .ok()?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let version = text.lines().next()?.split("version ").nth(1)?;
    version.split(' ').next().map(str::to_owned)
}

fn remember(file: &Path, verdict: &Verdict) -> std::io::Result<()> {
    let folder = file.parent().unwrap_or(Path::new("/"));
    std::fs::create_dir_all(folder)?;
    let mut out = tempfile::NamedTempFile::new_in(folder)?;
    serde_json::to_writer(&mut out, verdict)?;
    out.persist(file)?;
    Ok(())
}

/// Runs the guest by emulation, which must work, and by KVM.
fn trial(program: &Path, version: &str) -> Result<Capabilities, String> {
    let folder = tempfile::tempdir().map_err(|e| format!("no room for a trial: {e}"))?;
    let image = folder.path().join("boot");
    std::fs::write(&image, boot_sector()).map_err(|e| format!("no room for a trial: {e}"))?;
    let run = |accelerator: &str, sandbox: bool, patience| {
        run(program, &image, accelerator, sandbox, patience)
    };
    let (emulated, sandbox) = match run("tcg", true, EMULATED_PATIENCE) {
        Ok(took) => (took, true),
        Err(why) => match run("tcg", false, EMULATED_PATIENCE) {
            Ok(took) => (took, false),
            Err(_) => return Err(format!("a trial guest does not run: {why}")),
        },
    };
    let kvm_why = if std::fs::metadata("/dev/kvm").is_err() {
        Some("/dev/kvm is not there".to_owned())
    } else {
        match run("kvm", sandbox, KVM_PATIENCE) {
            Ok(took) if took <= emulated.max(KVM_QUICK) => None,
            Ok(took) => Some(format!(
                "a trial guest runs, but slower than emulated: {} ms instead of {}",
                took.as_millis(),
                emulated.as_millis()
            )),
            Err(why) => Some(format!("a trial guest does not run on it: {why}")),
        }
    };
    Ok(Capabilities {
        qemu: Some(version.to_owned()),
        qemu_why: None,
        accelerator: Some(if kvm_why.is_none() { "kvm" } else { "tcg" }.to_owned()),
        kvm_why,
        sandbox,
    })
}

/// How long the guest took, from nothing to its word.
fn run(
    program: &Path,
    image: &Path,
    accelerator: &str,
    sandbox: bool,
    patience: Duration,
) -> Result<Duration, String> {
    let mut command = Command::new(program);
    command
        .args(["-nodefaults", "-no-user-config", "-display", "none"])
        .args(["-machine", "q35", "-accel", accelerator, "-m", "32M"])
        // As a real machine has it: what is wrong with KVM often shows there.
        .args(["-cpu", if accelerator == "kvm" { "host" } else { "max" }])
        .args(["-device", "isa-debug-exit,iobase=0xf4,iosize=1"])
        .arg("-blockdev")
        .arg(
            serde_json::json!({
                "driver": "raw",
                "node-name": "boot",
                "file": { "driver": "file", "filename": image },
            })
            .to_string(),
        )
        .args(["-device", "ide-hd,drive=boot,bootindex=0"]);
    if sandbox {
        command.args(["-sandbox", "on"]);
    }
    let began = Instant::now();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .map_err(|e| e.to_string())?;
    let status = loop {
        match child.try_wait() {
            Ok(Some(status)) => break Some(status),
            Ok(None) if began.elapsed() < patience => {
                std::thread::sleep(Duration::from_millis(5));
            }
            _ => break None,
        }
    };
    let took = began.elapsed();
    let Some(status) = status else {
        let _ = child.kill();
        let _ = child.wait();
        return Err(format!("nothing within {} s", patience.as_secs()));
    };
    if status.code() == Some(EXIT) {
        return Ok(took);
    }
    let mut said = Vec::new();
    if let Some(stderr) = child.stderr.take() {
        let _ = stderr.take(SAID_MAX_BYTES).read_to_end(&mut said);
    }
    let said = String::from_utf8_lossy(&said);
    let line = said.lines().find(|line| !line.contains("warning:"));
    let line = line.map(|line| line.trim_start_matches(&format!("{PROGRAM}: ")).to_owned());
    Err(line.unwrap_or_else(|| format!("QEMU ended with {status}")))
}

/// Code that writes a word to the port of the device, for a BIOS to run:
/// `mov ax, WORD; mov dx, 0xf4; out dx, al; hlt; jmp back`.
fn boot_sector() -> Vec<u8> {
    let mut sector = vec![0xb8, WORD, 0x00, 0xba, 0xf4, 0x00, 0xee, 0xf4, 0xeb, 0xfd];
    sector.resize(510, 0);
    sector.extend([0x55, 0xaa]);
    // A disk has at least a few sectors more.
    sector.resize(1 << 20, 0);
    sector
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_found_out_is_remembered_for_this_boot_and_version() {
        let folder = tempfile::tempdir().unwrap();
        let found = capabilities(Some(folder.path()));
        assert!(found.qemu.is_some(), "{found:?}");
        assert_eq!(
            found.accelerator.as_deref() == Some("tcg"),
            found.kvm_why.is_some()
        );
        let file = folder.path().join(VERDICT);
        let text = std::fs::read_to_string(&file).unwrap();
        // What is on record is believed,
        let mut verdict: Verdict = serde_json::from_str(&text).unwrap();
        verdict.found.kvm_why = Some("as remembered".into());
        remember(&file, &verdict).unwrap();
        assert_eq!(capabilities(Some(folder.path())), verdict.found);
        // but not when it is of another boot.
        verdict.boot_id = "another".into();
        remember(&file, &verdict).unwrap();
        assert_ne!(capabilities(Some(folder.path())), verdict.found);
    }

    #[test]
    fn a_guest_that_says_nothing_is_given_up() {
        let folder = tempfile::tempdir().unwrap();
        let image = folder.path().join("boot");
        std::fs::write(&image, vec![0; 1 << 20]).unwrap();
        let program = program().unwrap();
        let why = run(&program, &image, "tcg", true, Duration::from_secs(1)).unwrap_err();
        assert!(why.contains("nothing within 1 s"), "{why}");
        let why = run(&program, &image, "nonsense", true, EMULATED_PATIENCE).unwrap_err();
        assert!(why.contains("nonsense"), "{why}");
    }
}
