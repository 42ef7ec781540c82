//! Accounts and keys on both databases.
#![expect(clippy::unwrap_used, reason = "a helper that fails must fail its test")]

use std::future::Future;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use backout_accounts::{
    ADMIN, Account, Accounts, Error, KeyError, KeyKind, KeyPair, KeyStatus, MIGRATIONS, MasterKey,
    PERMANENT_KEYS_MAX, Permission, Principal, holds_secrets,
};
use backout_core::code::Code;
use backout_core::ids::{AccountId, OsEntropy};
use backout_core::time::{Clock as _, ManualClock, Timestamp};
use backout_store::testing::on_both;
use backout_store::{Store, Value, params};

const READ_ONLY: &str = r#"{"version":"2.0","statement":[{"effect":"allow","action":["lighthouse:Describe*"],"resource":["*"]}]}"#;
const ALL: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"*","Resource":"*"}]}"#;
const CAREFUL: &str = r#"{"Version":"1","Statement":[{"Effect":"Allow","Action":"sae:*","Resource":"*"},
    {"Effect":"Approve","Action":"sae:RollbackApplication","Resource":"*"}]}"#;

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap()
        .block_on(future)
}

fn master() -> MasterKey {
    MasterKey::from_bytes([7; 32])
}

fn clock() -> ManualClock {
    ManualClock::at(Timestamp(1_700_000_000_000))
}

async fn open(store: &Store, clock: &ManualClock) -> Accounts {
    Accounts::open(
        store.clone(),
        &master(),
        Arc::new(clock.clone()),
        Arc::new(OsEntropy),
    )
    .await
    .unwrap()
}

/// Makes `admin`; returns its key.
async fn bootstrap(accounts: &Accounts) -> KeyPair {
    let kept = Arc::new(Mutex::new(None));
    let keep = Arc::clone(&kept);
    let made = accounts
        .bootstrap(move |pair| {
            *keep.lock().unwrap() = Some(pair.clone());
            Ok(())
        })
        .await
        .unwrap();
    assert!(made);
    let pair = kept.lock().unwrap().take();
    pair.unwrap()
}

async fn principal(accounts: &Accounts, account: &Account) -> Principal {
    accounts.principal(&account.id).await.unwrap()
}

fn spelled(name: &str) -> Vec<Vec<String>> {
    vec![vec![name.to_owned()]]
}

#[test]
fn what_waits_for_approval_is_told() {
    on_both(MIGRATIONS, |store| {
        block_on(async {
            let accounts = open(&store, &clock()).await;
            bootstrap(&accounts).await;
            let admin = accounts.admin().await.unwrap();
            let (team, _) = accounts.create(&admin, "team", None).await.unwrap();
            let team = principal(&accounts, &team).await;
            // What waits for approval is not let in where nothing can wait.
            let (careful, _) = accounts
                .create(&team, "team.careful", Some(CAREFUL))
                .await
                .unwrap();
            let careful = principal(&accounts, &careful).await;
            let of = |action: &str| careful.permission(action, &spelled("a"));
            assert!(!careful.allows("sae:RollbackApplication", &spelled("a")));
            let waits = of("sae:RollbackApplication");
            assert!(waits.is_granted());
            let rule = waits.approval().unwrap();
            assert_eq!(rule, "statement 2 of the policy of account team.careful");
            assert_eq!(of("sae:DescribeApplicationStatus"), Permission::Granted);
            assert_eq!(of("cdb:StartBatchRollback"), Permission::Denied);
            assert_eq!(team.permission("x:Y", &[]), Permission::Granted);
        });
    });
}

#[test]
fn three_kinds_of_accounts() {
    on_both(MIGRATIONS, |store| {
        block_on(async {
            let clock = clock();
            assert!(!holds_secrets(&store).await.unwrap());
            let accounts = open(&store, &clock).await;
            assert!(holds_secrets(&store).await.unwrap());
            assert!(matches!(
                accounts.admin().await,
                Err(Error::NotFound { .. })
            ));
            let pair = bootstrap(&accounts).await;
            let got = accounts
                .authenticate_key(&pair.secret_id, None)
                .await
                .unwrap();
            assert_eq!(got.secret.expose(), pair.secret_key.expose());
            let admin = accounts.admin().await.unwrap();
            assert_eq!(*got.principal, admin);
            assert!(admin.is_admin && admin.account == admin.owner && admin.name == ADMIN);
            assert!(admin.allows("x:Y", &spelled("server/lhins-1")));

            // An independent account: its own resources, no rights over others.
            let (team, _) = accounts.create(&admin, "team", None).await.unwrap();
            let team = principal(&accounts, &team).await;
            assert!(!team.is_admin && team.account == team.owner && team.policy.is_none());
            // Sub-accounts of both.
            let (sub, sub_pair) = accounts
                .create(&team, "team.reader", Some(READ_ONLY))
                .await
                .unwrap();
            let material = accounts
                .authenticate_key(&sub_pair.secret_id, Some(""))
                .await
                .unwrap();
            let sub = (sub, material.principal);
            assert_eq!(sub.1.owner, team.account);
            assert_eq!(sub.1.account, sub.0.id);
            assert!(sub.1.allows("lighthouse:DescribeSnapshots", &[]));
            assert!(
                !sub.1
                    .allows("lighthouse:ApplyInstanceSnapshot", &spelled("server/a"))
            );
            accounts.create(&admin, "ops", Some(ALL)).await.unwrap();
            let ops = accounts.get(&admin, "ops").await.unwrap();
            let ops = principal(&accounts, &ops).await;
            // All rights over the resources of admin, but not those of admin.
            assert!(!ops.is_admin && ops.owner == admin.account);

            // Who sees whom.
            let names = |by: &Principal| {
                let (accounts, by) = (accounts.clone(), by.clone());
                async move {
                    let list = accounts.list(&by, None, 100).await.unwrap();
                    list.into_iter().map(|a| a.name).collect::<Vec<_>>()
                }
            };
            assert_eq!(names(&admin).await, ["admin", "ops", "team", "team.reader"]);
            assert_eq!(names(&team).await, ["team", "team.reader"]);
            assert_eq!(names(&sub.1).await, ["team.reader"]);
            assert_eq!(names(&ops).await, ["ops"]);
            let page = accounts.list(&admin, Some("ops"), 1).await.unwrap();
            assert_eq!(page.len(), 1);
            assert_eq!(page[0].name, "team");

            // Who may do what.
            let code = |e: Error| e.code();
            for (by, what, expected) in [
                (
                    &team,
                    accounts.get(&team, "ops").await.map(drop),
                    Code::NotFound,
                ),
                (
                    &team,
                    accounts.create(&team, "x", None).await.map(drop),
                    Code::Denied,
                ),
                (
                    &sub.1,
                    accounts.create(&sub.1, "x", Some(ALL)).await.map(drop),
                    Code::Denied,
                ),
                (
                    &ops,
                    accounts.create(&ops, "x", None).await.map(drop),
                    Code::Denied,
                ),
                (
                    &ops,
                    accounts.set_policy(&ops, "ops", ALL).await.map(drop),
                    Code::Denied,
                ),
                (
                    &ops,
                    accounts.add_key(&ops, ADMIN).await.map(drop),
                    Code::NotFound,
                ),
                (
                    &ops,
                    accounts.delete_key(&ops, &pair.secret_id).await,
                    Code::NotFound,
                ),
                (
                    &sub.1,
                    accounts.add_key(&sub.1, "team.reader").await.map(drop),
                    Code::Denied,
                ),
                (
                    &team,
                    accounts.set_disabled(&team, "team", true).await.map(drop),
                    Code::BadRequest,
                ),
                (
                    &admin,
                    accounts.set_disabled(&admin, ADMIN, true).await.map(drop),
                    Code::BadRequest,
                ),
                (
                    &admin,
                    accounts.set_policy(&admin, "team", ALL).await.map(drop),
                    Code::BadRequest,
                ),
                (
                    &admin,
                    accounts.create(&admin, "team", None).await.map(drop),
                    Code::NameTaken,
                ),
                (
                    &admin,
                    accounts.create(&admin, "x", Some("{}")).await.map(drop),
                    Code::BadRequest,
                ),
                (
                    &admin,
                    accounts.create(&admin, "", None).await.map(drop),
                    Code::BadRequest,
                ),
                (
                    &admin,
                    accounts
                        .create(&admin, "acct_abcdefghijkl", None)
                        .await
                        .map(drop),
                    Code::BadRequest,
                ),
                (
                    &admin,
                    accounts.create(&admin, "a b", None).await.map(drop),
                    Code::BadRequest,
                ),
            ] {
                let error = what.expect_err(&format!("{} may not", by.name));
                assert_eq!(code(error), expected, "{}", by.name);
            }
            // A sub-account whose policy says so manages its own keys.
            let own = accounts.add_key(&ops, "ops").await.unwrap();
            accounts.delete_key(&ops, &own.secret_id).await.unwrap();

            // Deleting.
            let owns = |_: &mut dyn backout_store::Tx, _: &AccountId| Ok(true);
            let nothing = |_: &mut dyn backout_store::Tx, _: &AccountId| Ok(false);
            assert!(matches!(
                accounts.delete(&admin, "team", nothing).await,
                Err(Error::HasSubAccounts { .. })
            ));
            accounts
                .delete(&team, "team.reader", nothing)
                .await
                .unwrap();
            assert!(matches!(
                accounts.authenticate_key(&sub_pair.secret_id, None).await,
                Err(KeyError::NotFound)
            ));
            assert!(matches!(
                accounts.delete(&admin, "team", owns).await,
                Err(Error::OwnsResources { .. })
            ));
            accounts
                .delete(&admin, team.account.as_str(), nothing)
                .await
                .unwrap();
            assert_eq!(names(&admin).await, ["admin", "ops"]);
            assert!(matches!(
                accounts.delete(&admin, ADMIN, nothing).await,
                Err(Error::LockOut { .. })
            ));
        });
    });
}

#[test]
fn keys_are_rotated_and_each_refusal_is_told_apart() {
    on_both(MIGRATIONS, |store| {
        block_on(async {
            let clock = clock();
            let accounts = open(&store, &clock).await;
            let first = bootstrap(&accounts).await;
            let admin = accounts.admin().await.unwrap();
            let check = |id: &str, token: Option<&str>| {
                let (accounts, id, token) =
                    (accounts.clone(), id.to_owned(), token.map(str::to_owned));
                async move {
                    match accounts.authenticate_key(&id, token.as_deref()).await {
                        Ok(_) => "ok",
                        Err(KeyError::NotFound) => "not found",
                        Err(KeyError::Inactive) => "inactive",
                        Err(KeyError::AccountDisabled) => "account disabled",
                        Err(KeyError::TokenMissing) => "token missing",
                        Err(KeyError::TokenMalformed) => "token malformed",
                        Err(KeyError::TokenInvalid) => "token invalid",
                        Err(KeyError::TokenExpired) => "token expired",
                        Err(KeyError::Store(e)) => panic!("{e}"),
                    }
                }
            };
            // Rotation: the new one works before the old one goes.
            assert!(matches!(
                accounts.delete_key(&admin, &first.secret_id).await,
                Err(Error::LockOut { .. })
            ));
            assert!(matches!(
                accounts.disable_key(&admin, &first.secret_id).await,
                Err(Error::LockOut { .. })
            ));
            let second = accounts.add_key(&admin, ADMIN).await.unwrap();
            assert_eq!(check(&first.secret_id, None).await, "ok");
            assert_eq!(check(&second.secret_id, None).await, "ok");
            accounts
                .disable_key(&admin, &first.secret_id)
                .await
                .unwrap();
            assert_eq!(check(&first.secret_id, None).await, "inactive");
            assert_eq!(check(&second.secret_id, None).await, "ok");
            accounts.enable_key(&admin, &first.secret_id).await.unwrap();
            assert_eq!(check(&first.secret_id, None).await, "ok");
            accounts.delete_key(&admin, &first.secret_id).await.unwrap();
            assert_eq!(check(&first.secret_id, None).await, "not found");
            assert!(matches!(
                accounts.delete_key(&admin, &first.secret_id).await,
                Err(Error::KeyNotFound { .. })
            ));
            assert_eq!(check("AKIDno", None).await, "not found");
            assert_eq!(check("", None).await, "not found");
            assert_eq!(check("' OR 1=1 --", None).await, "not found");
            for _ in 1..PERMANENT_KEYS_MAX {
                accounts.add_key(&admin, ADMIN).await.unwrap();
                clock.advance_ms(1);
            }
            assert!(matches!(
                accounts.add_key(&admin, ADMIN).await,
                Err(Error::TooManyKeys { .. })
            ));
            let listed = accounts.list_keys(&admin, ADMIN).await.unwrap();
            assert_eq!(listed.len(), 5);
            assert!(listed.iter().all(|k| k.kind == KeyKind::Permanent
                && k.status == KeyStatus::Active
                && k.account == admin.account));
            let recovered = accounts.recover_admin().await.unwrap();
            assert_eq!(check(&recovered.secret_id, None).await, "ok");
            assert_eq!(accounts.list_keys(&admin, ADMIN).await.unwrap().len(), 5);

            // Temporary keys.
            let (_, pair) = accounts.create(&admin, "team", None).await.unwrap();
            for bad in [0, -1, 899, 36 * 3600 + 1, i64::MAX] {
                assert!(matches!(
                    accounts.issue_temporary(&admin, "team", bad).await,
                    Err(Error::Lifetime { .. })
                ));
            }
            let temporary = accounts.issue_temporary(&admin, "team", 900).await.unwrap();
            let other = accounts
                .issue_temporary(&admin, "team", 129_600)
                .await
                .unwrap();
            let token = |pair: &KeyPair| pair.token.clone().unwrap().expose().to_owned();
            let (id, good) = (temporary.secret_id.clone(), token(&temporary));
            assert_eq!(temporary.expires, Some(clock.now().plus_ms(900_000)));
            assert_eq!(check(&id, Some(&good)).await, "ok");
            assert_eq!(check(&id, None).await, "token missing");
            assert_eq!(check(&id, Some("")).await, "token missing");
            assert_eq!(check(&id, Some("short")).await, "token malformed");
            assert_eq!(check(&id, Some(&token(&other))).await, "token invalid");
            assert_eq!(check(&pair.secret_id, Some(&good)).await, "token invalid");
            let material = accounts.authenticate_key(&id, Some(&good)).await.unwrap();
            assert_eq!(material.principal.name, "team");
            assert_eq!(material.secret.expose(), temporary.secret_key.expose());
            clock.advance_ms(899_999);
            assert_eq!(check(&id, Some(&good)).await, "ok");
            clock.advance_ms(1);
            assert_eq!(check(&id, Some(&good)).await, "token expired");
            assert_eq!(check(&id, Some(&token(&other))).await, "token invalid");
            let listed = accounts.list_keys(&admin, "team").await.unwrap();
            assert_eq!(listed.len(), 2, "{listed:?}");
            // Revoked before its time.
            accounts.delete_key(&admin, &other.secret_id).await.unwrap();
            assert_eq!(
                check(&other.secret_id, Some(&token(&other))).await,
                "not found"
            );
            // Forgotten in the end, when the next one is issued.
            clock.advance_ms(7 * 24 * 3600 * 1000 + 1);
            accounts.issue_temporary(&admin, "team", 900).await.unwrap();
            let rows = store
                .read(|tx| tx.query("SELECT 1 FROM account_keys WHERE kind = 'temporary'", &[]))
                .await
                .unwrap();
            assert_eq!(rows.len(), 1);

            // A disabled account, and one whose parent is disabled.
            let team = accounts.get(&admin, "team").await.unwrap();
            let team = principal(&accounts, &team).await;
            let (_, sub) = accounts.create(&team, "sub", Some(ALL)).await.unwrap();
            assert_eq!(check(&sub.secret_id, None).await, "ok");
            accounts.set_disabled(&admin, "team", true).await.unwrap();
            assert_eq!(check(&pair.secret_id, None).await, "account disabled");
            assert_eq!(check(&sub.secret_id, None).await, "account disabled");
            assert!(matches!(
                accounts.add_key(&admin, "team").await,
                Err(Error::Disabled { .. })
            ));
            accounts.set_disabled(&admin, "team", false).await.unwrap();
            assert_eq!(check(&sub.secret_id, None).await, "ok");
            // A policy takes hold at once.
            let allowed = |accounts: Accounts, id: String| async move {
                let m = accounts.authenticate_key(&id, None).await.unwrap();
                m.principal.allows("cdb:StartBatchRollback", &[])
            };
            assert!(allowed(accounts.clone(), sub.secret_id.clone()).await);
            accounts.set_policy(&team, "sub", READ_ONLY).await.unwrap();
            assert!(!allowed(accounts.clone(), sub.secret_id.clone()).await);
        });
    });
}

#[test]
fn a_change_by_another_process_is_seen_within_a_second() {
    on_both(MIGRATIONS, |store| {
        block_on(async {
            let clock = clock();
            let here = open(&store, &clock).await;
            let there = open(&store, &clock).await;
            let pair = bootstrap(&here).await;
            let admin = here.admin().await.unwrap();
            let id = here.add_key(&admin, ADMIN).await.unwrap().secret_id;
            // A new key is found at once, wherever it was made.
            assert!(there.authenticate_key(&id, None).await.is_ok());
            here.disable_key(&admin, &id).await.unwrap();
            assert!(matches!(
                here.authenticate_key(&id, None).await,
                Err(KeyError::Inactive)
            ));
            assert!(there.authenticate_key(&id, None).await.is_ok());
            clock.advance_ms(999);
            assert!(there.authenticate_key(&id, None).await.is_ok());
            clock.advance_ms(1);
            assert!(matches!(
                there.authenticate_key(&id, None).await,
                Err(KeyError::Inactive)
            ));
            assert!(there.authenticate_key(&pair.secret_id, None).await.is_ok());

            // Without the store, keys in memory are believed for five seconds,
            // and no longer.
            let rename = |store: &Store, sql: &'static str| {
                let store = store.clone();
                async move {
                    store.write(move |tx| tx.execute(sql, &[])).await.unwrap();
                }
            };
            rename(&store, "ALTER TABLE accounts_version RENAME TO gone").await;
            for _ in 0..4 {
                clock.advance_ms(1000);
                assert!(there.authenticate_key(&pair.secret_id, None).await.is_ok());
            }
            clock.advance_ms(1000);
            assert!(matches!(
                there.authenticate_key(&pair.secret_id, None).await,
                Err(KeyError::Store(_))
            ));
            rename(&store, "ALTER TABLE gone RENAME TO accounts_version").await;
            assert!(there.authenticate_key(&pair.secret_id, None).await.is_ok());
        });
    });
}

#[test]
fn a_wrong_master_key_and_changed_rows_are_refused() {
    on_both(MIGRATIONS, |store| {
        block_on(async {
            let clock = clock();
            let accounts = open(&store, &clock).await;
            let pair = bootstrap(&accounts).await;
            let admin = accounts.admin().await.unwrap();
            let (team, team_pair) = accounts.create(&admin, "team", None).await.unwrap();
            let try_open = |byte: u8| {
                let (store, clock) = (store.clone(), clock.clone());
                async move {
                    let master = MasterKey::from_bytes([byte; 32]);
                    Accounts::open(store, &master, Arc::new(clock), Arc::new(OsEntropy)).await
                }
            };
            let error = try_open(8).await.unwrap_err();
            assert!(matches!(error, Error::WrongMasterKey), "{error}");
            assert!(error.to_string().contains("BACKOUT_MASTER_KEY"));

            // No secret is in the store, in no column of no row.
            let secrets = [
                pair.secret_key.expose().to_owned(),
                team_pair.secret_key.expose().to_owned(),
            ];
            let rows = store
                .read(|tx| tx.query("SELECT * FROM account_keys", &[]))
                .await
                .unwrap();
            assert_eq!(rows.len(), 2);
            for value in rows.iter().flat_map(|r| &r.0) {
                let bytes = match value {
                    Value::Text(t) => t.as_bytes(),
                    Value::Bytes(b) => b,
                    _ => continue,
                };
                for secret in &secrets {
                    assert!(!bytes.windows(secret.len()).any(|w| w == secret.as_bytes()));
                }
            }

            // A key that was handed to another account by hand does not open.
            let admin_id = admin.account.to_string();
            let stolen = team_pair.secret_id.clone();
            store
                .write(move |tx| {
                    tx.execute(
                        "UPDATE account_keys SET account = $1 WHERE secret_id = $2",
                        params![admin_id, stolen],
                    )
                })
                .await
                .unwrap();
            let error = accounts
                .authenticate_key(&team_pair.secret_id, None)
                .await
                .unwrap_err();
            assert!(matches!(error, KeyError::Store(_)), "{error}");

            // A sub-account's stored policy that is no longer understood gives
            // no rights at all.
            let (sub, sub_pair) = accounts.create(&admin, "sub", Some(ALL)).await.unwrap();
            let id = sub.id.to_string();
            store
                .write(move |tx| {
                    tx.execute(
                        "UPDATE accounts SET policy = '{}' WHERE id = $1",
                        params![id],
                    )
                })
                .await
                .unwrap();
            assert!(
                accounts
                    .authenticate_key(&sub_pair.secret_id, None)
                    .await
                    .is_err()
            );
            drop(team);

            // The check value is gone: nobody can tell, so nobody may start.
            store
                .write(|tx| tx.execute("DELETE FROM account_key_check", &[]))
                .await
                .unwrap();
            assert!(holds_secrets(&store).await.unwrap());
            assert!(matches!(
                try_open(7).await.unwrap_err(),
                Error::KeyCheckMissing
            ));
        });
    });
}

#[test]
fn many_processes_that_start_at_once_make_one_admin() {
    on_both(MIGRATIONS, |store| {
        block_on(async {
            let clock = clock();
            // The hand-over fails: nothing is stored, the next start begins anew.
            let accounts = open(&store, &clock).await;
            let failed = accounts
                .bootstrap(|_| Err(std::io::Error::other("disk full")))
                .await;
            assert!(matches!(failed, Err(Error::HandOver(_))));
            assert!(accounts.admin().await.is_err());

            let handed_over = Arc::new(AtomicUsize::new(0));
            let starts: Vec<_> = (0..8)
                .map(|_| {
                    let (store, clock) = (store.clone(), clock.clone());
                    let handed_over = Arc::clone(&handed_over);
                    tokio::spawn(async move {
                        let accounts = open(&store, &clock).await;
                        accounts
                            .bootstrap(move |_| {
                                handed_over.fetch_add(1, Ordering::SeqCst);
                                Ok(())
                            })
                            .await
                            .unwrap()
                    })
                })
                .collect();
            let mut made = 0;
            for start in starts {
                made += usize::from(start.await.unwrap());
            }
            assert_eq!((made, handed_over.load(Ordering::SeqCst)), (1, 1));
            let admin = accounts.admin().await.unwrap();
            assert_eq!(accounts.list(&admin, None, 10).await.unwrap().len(), 1);
            assert_eq!(accounts.list_keys(&admin, ADMIN).await.unwrap().len(), 1);
        });
    });
}

#[test]
fn nothing_prints_a_secret() {
    let folder = tempfile::tempdir().unwrap();
    let store = Store::open_sqlite(&folder.path().join("state.db"), MIGRATIONS).unwrap();
    block_on(async {
        let clock = clock();
        let accounts = open(&store, &clock).await;
        let pair = bootstrap(&accounts).await;
        let admin = accounts.admin().await.unwrap();
        let temporary = accounts.issue_temporary(&admin, ADMIN, 900).await.unwrap();
        let token = temporary.token.clone().unwrap();
        let material = accounts
            .authenticate_key(&temporary.secret_id, Some(token.expose()))
            .await
            .unwrap();
        let refused = accounts
            .authenticate_key(&pair.secret_id, Some(token.expose()))
            .await
            .unwrap_err();
        let listed = accounts.list_keys(&admin, ADMIN).await.unwrap();
        let printed = format!(
            "{pair:?} {temporary:?} {token:?} {material:?} {refused} {refused:?} {accounts:?} \
             {listed:?} {admin:?} {:?}",
            master()
        );
        for secret in [
            pair.secret_key.expose(),
            temporary.secret_key.expose(),
            token.expose(),
            "0707",
            "7, 7",
        ] {
            assert!(!printed.contains(secret), "{printed}");
        }
        assert!(printed.contains(&pair.secret_id) && printed.contains("Secret(..)"));
    });
}
