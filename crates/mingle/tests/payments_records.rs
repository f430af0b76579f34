//! What a mixer keeps: nothing of what has ended, all that it saved, and whom it knew.

#![allow(clippy::unwrap_used, reason = "a test says so by failing")]

mod support;

use std::io::Write;
use std::path::Path;
use std::process::Command as Process;

use mingle::payments::local::wait_status;
use money::{AccountKey, Amount, address};
use support::asker::*;
use support::payments::*;
use support::{skip, wait_until};

/// Whether something stands in any file of a folder, raw or in base58.
fn holds(folder: &Path, wanted: &[u8]) -> bool {
    let text = address_text(wanted);
    let files = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    files.filter(|path| path.is_file()).any(|path| {
        // SQLite may remove its log between the two.
        let bytes = std::fs::read(path).unwrap_or_default();
        let found = |wanted: &[u8]| bytes.windows(wanted.len()).any(|window| window == wanted);
        found(wanted) || found(text.as_bytes())
    })
}

fn address_text(bytes: &[u8]) -> String {
    match <&[u8; 32]>::try_from(bytes) {
        Ok(bytes) => address::base58(bytes),
        Err(_) => "nothing in base58".into(),
    }
}

#[test]
fn after_a_payment_neither_files_nor_logs_know_of_it() {
    run(async {
        let town = Town::start(plan(3)).await;
        let mut purse = town.purse(41, 10_000).await;
        let receiver = AccountKey::from_seed([201; 32]).account();
        let accounts: Vec<_> = town.infos().iter().map(|info| info.pubkey).collect();
        purse.pays = false;
        purse.begin(&accounts, receiver, 100).unwrap();
        purse.work_until("promises", is("ready")).await;
        let promises: Vec<_> =
            purse.core.parts().values().flat_map(|part| part.promises()).cloned().collect();
        let currency = town.payments.currency();
        // Per mixer: what it must forget.
        let secrets: Vec<Vec<Vec<u8>>> = promises
            .iter()
            .map(|promise| {
                let promise = promise.content();
                let seeds = promise.in_seeds.iter().chain(&promise.out_seeds);
                let mut secrets: Vec<_> = seeds.map(|seed| seed.to_vec()).collect();
                secrets.push(promise.in_reference(&currency).as_bytes().to_vec());
                secrets.push(promise.out_reference(&currency).as_bytes().to_vec());
                secrets
            })
            .collect();
        let folders: Vec<_> =
            town.payments.mixers.iter().map(|mixer| mixer.folder().to_owned()).collect();
        let payer = purse.account.as_bytes().to_vec();
        let far = receiver.as_bytes().to_vec();
        for (folder, secrets) in folders.iter().zip(&secrets) {
            assert!(secrets[..4].iter().all(|seed| holds(folder, seed)), "it is on the disk");
        }
        assert!(holds(&folders[0], &payer) && holds(&folders[2], &far));
        assert!(!holds(&folders[0], &far) && !holds(&folders[2], &payer), "not the far end");
        assert!(!holds(&folders[1], &payer) && !holds(&folders[1], &far));
        purse.pays = true;
        let ledger = ledger::embedded::Client::connect(town.payments.url()).await.unwrap();
        for _ in 0..3_000 {
            purse.work().await;
            if ledger.account(&receiver).await.unwrap().free == Amount::from_units(100) {
                break;
            }
        }
        wait_until("everything is forgotten", || {
            folders.iter().zip(&secrets).all(|(folder, secrets)| {
                let more = [&payer, &far];
                !secrets.iter().chain(more).any(|secret| holds(folder, secret))
            })
        });
        for (i, mixer) in town.payments.mixers.iter().enumerate() {
            let said = mixer.said();
            let others = accounts.iter().filter(|account| **account != accounts[i]);
            let strangers = [receiver, purse.account].into_iter();
            for account in others.copied().chain(strangers) {
                assert!(!said.contains(&account.to_string()), "{said}");
            }
            for word in ["/mix", "/sealed", "/confirm", "/getconfirm", "127.0.0.1"] {
                assert!(!said.contains(word), "{word}: {said}");
            }
            let texts = secrets[i].iter().map(|secret| match secret.len() {
                32 => address_text(secret),
                _ => String::from_utf8(secret.clone()).unwrap(),
            });
            for text in texts {
                assert!(!said.contains(&text), "{said}");
            }
        }
    });
}

#[test]
fn a_mixer_whose_disk_is_full_ends_with_a_sentence_and_goes_on_later() {
    let disk = tempfile::tempdir().unwrap();
    let mount = |options: &str| {
        let done = Process::new("mount")
            .args(["-t", "tmpfs", "-o", options, "tmpfs"])
            .arg(disk.path())
            .output();
        done.is_ok_and(|output| output.status.success())
    };
    if !mount("size=16m") {
        return skip("a full disk", "this user may not mount one");
    }
    let _unmount = Unmount(disk.path());
    run(async {
        let mut town = Town::start(plan(1)).await;
        let mut asker = Asker::new(&town, 42, 10_000).await;
        let first = asker.ask();
        let seed = seed_of(&asker.bare(&first, ""));
        let mixer = &mut town.payments.mixers[0];
        mixer.stop().unwrap();
        // The records move to a small disk.
        let folder = mixer.folder().to_owned();
        for name in ["records.db", "records.db.lock"] {
            std::fs::copy(folder.join(name), disk.path().join(name)).unwrap();
            std::fs::remove_file(folder.join(name)).unwrap();
            std::os::unix::fs::symlink(disk.path().join(name), folder.join(name)).unwrap();
        }
        mixer.start_again().unwrap();
        mixer.wait_ready().unwrap();
        let mut filler = std::fs::File::create(disk.path().join("filler")).unwrap();
        while filler.write_all(&[0; 4096]).is_ok() {}
        let ended = mixer.wait_ended().expect("it ends by itself");
        assert!(!ended.success());
        let said = mixer.said();
        assert!(said.contains("records.db") && said.contains("start again"), "{said}");
        drop(filler);
        std::fs::remove_file(disk.path().join("filler")).unwrap();
        mixer.start_again().unwrap();
        mixer.wait_ready().unwrap();
        wait_status(mixer, |status| status["makes_promises"] == true).await.unwrap();
        assert_eq!(seed_of(&asker.bare(&first, "")), seed, "it knows what it had saved");
        mixer.stop().unwrap();
    });
}

struct Unmount<'a>(&'a Path);

impl Drop for Unmount<'_> {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg(self.0).output();
    }
}

#[test]
fn a_mixer_that_begins_again_knows_whom_it_knew_and_promises() {
    run(async {
        let mut town = Town::start(plan(3)).await;
        // Nobody else is there to introduce itself.
        for mixer in &mut town.payments.mixers {
            mixer.kill();
        }
        let mixer = &mut town.payments.mixers[0];
        mixer.start_again().unwrap();
        mixer.wait_ready().unwrap();
        wait_status(mixer, |status| status["peers"] == 2 && status["makes_promises"] == true)
            .await
            .unwrap();
    });
}
