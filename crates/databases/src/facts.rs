//! What a server says of itself, as an instance's row keeps it.

use std::path::{Path, PathBuf};

use backout_core::time::Timestamp;
use backout_mariadb::{Error, Result, Session, catalog};

use crate::model::Facts;
use crate::zone::Zone;

/// Asks a server about itself. Blocking.
pub(crate) fn look(session: &mut Session, now: Timestamp) -> Result<Facts> {
    let server = catalog::server(session)?;
    let doing = "ask the server about its data";
    let charset: Option<String> = session.first(doing, "SELECT @@global.character_set_server")?;
    let data_bytes = bytes(session)?;
    let pid_file: Option<Option<String>> = session.first(doing, "SELECT @@global.pid_file")?;
    let local = server.hostname == hostname();
    let datadir = pid_file
        .flatten()
        .filter(|_| local)
        .and_then(|pid_file| on_this_host(Path::new(&server.datadir), Path::new(&pid_file)));
    Ok(Facts {
        zone: zone(&server.zone, local, now),
        version: server.version,
        server_id: u32::try_from(server.server_id).unwrap_or(u32::MAX),
        charset: charset.unwrap_or_default(),
        datadir,
        data_bytes,
    })
}

/// Bytes of all tables; 0 when we may not see that.
fn bytes(session: &mut Session) -> Result<u64> {
    let doing = "ask the server how large its tables are";
    // By InnoDB's dictionary, and by nothing else: for the sizes in
    // information_schema.TABLES the server opens every table, and 10.11 was
    // seen to crash at that while others are dropped.
    for table in ["INNODB_SYS_TABLESPACES", "INNODB_TABLESPACES"] {
        let sql =
            format!("SELECT CAST(SUM(FILE_SIZE) AS UNSIGNED) FROM information_schema.{table}");
        match session.first::<Option<u64>>(doing, sql) {
            Err(Error::Refused { .. }) => {}
            answer => return Ok(answer?.flatten().unwrap_or(0)),
        }
    }
    Ok(0)
}

/// The server's data folder, when this process sees it, and the server itself.
fn on_this_host(datadir: &Path, pid_file: &Path) -> Option<PathBuf> {
    let pid_file = datadir.join(pid_file);
    let pid: u32 = std::fs::read_to_string(pid_file)
        .ok()?
        .trim()
        .parse()
        .ok()?;
    let runs = Path::new(&format!("/proc/{pid}")).exists();
    (runs && datadir.is_absolute() && datadir.join("ibdata1").exists()).then(|| datadir.to_owned())
}

fn hostname() -> String {
    std::fs::read_to_string("/proc/sys/kernel/hostname")
        .map(|name| name.trim().to_owned())
        .unwrap_or_default()
}

/// The first way to name the server's zone that agrees with how far it is ahead
/// of UTC now; an offset, which knows no summer, when none does.
fn zone(zone: &catalog::Zone, local: bool, now: Timestamp) -> String {
    let sign = if zone.offset_s < 0 { '-' } else { '+' };
    let minutes = zone.offset_s.unsigned_abs() / 60;
    let offset = format!("{sign}{:02}:{:02}", minutes / 60, minutes % 60);
    let Ok(shown) = offset.parse::<Zone>().map(|zone| zone.local(now)) else {
        return Zone::UTC.to_string();
    };
    let own = jiff::tz::TimeZone::system();
    let names = match zone.setting.eq_ignore_ascii_case("SYSTEM") {
        true => vec![
            own.iana_name().filter(|_| local),
            Some(zone.system.as_str()),
        ],
        false => vec![Some(zone.setting.as_str())],
    };
    names
        .into_iter()
        .flatten()
        .find(|name| {
            name.parse::<Zone>()
                .is_ok_and(|named| named.local(now) == shown)
        })
        .map_or(offset, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_zone_is_named_only_when_the_name_is_right() {
        // In winter and in summer.
        let (winter, summer) = (Timestamp(1_705_000_000_000), Timestamp(1_720_000_000_000));
        let of = |setting: &str, system: &str, offset_s, now| {
            let asked = catalog::Zone {
                setting: setting.to_owned(),
                system: system.to_owned(),
                offset_s,
            };
            zone(&asked, false, now)
        };
        assert_eq!(of("Europe/Berlin", "UTC", 7200, summer), "Europe/Berlin");
        assert_eq!(of("+05:30", "UTC", 19_800, summer), "+05:30");
        assert_eq!(of("SYSTEM", "CET", 3600, winter), "CET");
        // What a server calls summer is no zone.
        assert_eq!(of("SYSTEM", "CEST", 7200, summer), "+02:00");
        assert_eq!(of("SYSTEM", "CET", -12_600, winter), "-03:30");
        assert_eq!(of("SYSTEM", "UTC", 0, winter), "UTC");
    }
}
