//! What a mixer or a wallet keeps on the disk: one SQLite file of records.
//!
//! ```text
//! DIR/records.db        record(key, value): the first byte of a key names its table,
//!                       small letters are the core's, capitals this program's
//! DIR/records.db.lock   held as long as a process uses the file
//! ```
//! What always holds: what was saved is on the disk when `save` returns, all of it or nothing; what was
//! deleted is overwritten in the file at once, and gone from the write-ahead log when `settle` returns.
//! A store that failed once is not used again: the node ends, and does at its next start what it had
//! saved and not done.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use payment::effect::Change;
use sqlx::migrate::{Migration, MigrationType, Migrator};
use sqlx::sqlite::{
    SqliteConnectOptions, SqliteConnection, SqliteJournalMode, SqliteLockingMode, SqliteSynchronous,
};
use sqlx::{Connection as _, Row as _, SqlStr};

use crate::Error;

/// The records of one folder. Locked as long as this lives.
pub struct Store {
    path: PathBuf,
    connection: SqliteConnection,
    /// Whether something was deleted since the log was emptied.
    forgot: bool,
    _lock: File,
}

/// A record: its key and its value.
pub type Record = (Vec<u8>, Vec<u8>);

/// The file in a folder.
pub const FILE: &str = "records.db";

impl Store {
    /// Opens the records of a folder, or makes a new file.
    ///
    /// # Errors
    /// [`Error::InUse`] if another process has it, [`Error::Store`] if it cannot be opened, is of a newer
    /// version, or is spoiled.
    pub async fn open(folder: &Path) -> Result<Self, Error> {
        let path = folder.join(FILE);
        let lock = lock(&folder.join(format!("{FILE}.lock")))?;
        // Made here so that only its owner reads it; SQLite gives its log the same mode.
        open_private(&path)?;
        let options = SqliteConnectOptions::new()
            .filename(&path)
            .journal_mode(SqliteJournalMode::Wal)
            .synchronous(SqliteSynchronous::Full)
            .locking_mode(SqliteLockingMode::Exclusive)
            .pragma("secure_delete", "ON")
            .pragma("temp_store", "MEMORY")
            .pragma("cell_size_check", "ON")
            .busy_timeout(BUSY_MAX);
        let connection = SqliteConnection::connect_with(&options).await;
        let mut connection = connection.map_err(|why| Error::store(&path, why))?;
        migrations().run(&mut connection).await.map_err(|why| Error::store(&path, why))?;
        let mut store = Self { path, connection, forgot: true, _lock: lock };
        store.settle().await?;
        Ok(store)
    }

    /// All records of the core, whose tables are named by small letters.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn core(&mut self) -> Result<Vec<Record>, Error> {
        self.between(b"a", b"{").await
    }

    /// All records of one table.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn table(&mut self, table: u8) -> Result<Vec<Record>, Error> {
        self.between(&[table], &[table + 1]).await
    }

    async fn between(&mut self, from: &[u8], to: &[u8]) -> Result<Vec<Record>, Error> {
        let query =
            sqlx::query("SELECT key, value FROM record WHERE key >= ? AND key < ? ORDER BY key");
        let rows =
            query.bind(from.to_vec()).bind(to.to_vec()).fetch_all(&mut self.connection).await;
        let rows = rows.map_err(|why| Error::store(&self.path, why))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// The core's records that follow a key, at most [`BATCH`]; from its first on after an empty key.
    /// Tens of thousands of orders are so never in memory twice.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn core_after(&mut self, key: &[u8]) -> Result<Vec<Record>, Error> {
        let query = sqlx::query(
            "SELECT key, value FROM record WHERE key > ? AND key >= x'61' AND key < x'7b' ORDER BY key LIMIT ?",
        );
        let rows = query.bind(key.to_vec()).bind(BATCH).fetch_all(&mut self.connection).await;
        let rows = rows.map_err(|why| Error::store(&self.path, why))?;
        Ok(rows.iter().map(|row| (row.get(0), row.get(1))).collect())
    }

    /// Saves changes as one: on the disk when this returns.
    ///
    /// # Errors
    /// [`Error::Store`]: nothing of it is saved, and the caller must end.
    pub async fn save(&mut self, changes: Vec<Change>) -> Result<(), Error> {
        if changes.is_empty() {
            return Ok(());
        }
        let forgets = changes.iter().any(|change| change.value.is_none());
        self.transact(changes).await.map_err(|why| Error::store(&self.path, why))?;
        self.forgot |= forgets;
        Ok(())
    }

    async fn transact(&mut self, changes: Vec<Change>) -> Result<(), sqlx::Error> {
        let mut transaction = self.connection.begin().await?;
        for Change { key, value } in changes {
            let query = match value {
                Some(value) => sqlx::query(
                    "INSERT INTO record VALUES (?, ?) ON CONFLICT DO UPDATE SET value = excluded.value",
                )
                .bind(key)
                .bind(value),
                None => sqlx::query("DELETE FROM record WHERE key = ?").bind(key),
            };
            query.execute(&mut *transaction).await?;
        }
        transaction.commit().await
    }

    /// Empties the write-ahead log if something was deleted: no file holds it any more.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn settle(&mut self) -> Result<(), Error> {
        if self.forgot {
            let emptied = sqlx::query("PRAGMA wal_checkpoint(TRUNCATE)");
            let emptied = emptied.execute(&mut self.connection).await;
            emptied.map_err(|why| Error::store(&self.path, why))?;
            self.forgot = false;
        }
        Ok(())
    }

    /// The error of a record that is none of ours.
    pub fn unreadable(&self, what: &str) -> Error {
        Error::unfit(
            &self.path,
            format_args!("its {what} cannot be read; is it of a newer version?"),
        )
    }

    /// Whether [`Self::settle`] has something to do.
    pub fn is_settled(&self) -> bool {
        !self.forgot
    }

    /// Closes the file.
    ///
    /// # Errors
    /// [`Error::Store`].
    pub async fn close(self) -> Result<(), Error> {
        let Self { path, connection, .. } = self;
        connection.close().await.map_err(|why| Error::store(&path, why))
    }
}

/// The most records of one batch.
const BATCH: u32 = 256;

/// Nobody else has the file open, so whatever keeps it busy is short.
const BUSY_MAX: Duration = Duration::from_secs(5);

fn lock(path: &Path) -> Result<File, Error> {
    let file = open_private(path)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(std::fs::TryLockError::WouldBlock) => Err(Error::InUse { path: path.to_owned() }),
        Err(std::fs::TryLockError::Error(why)) => Err(Error::write(path, why)),
    }
}

/// Opens a file that only its owner reads, or makes it.
fn open_private(path: &Path) -> Result<File, Error> {
    let mut options = OpenOptions::new();
    options.write(true).create(true).truncate(false).mode(0o600);
    options.open(path).map_err(|why| Error::write(path, why))
}

/// How the file came to be what it is; each step is done once, in order.
fn migrations() -> Migrator {
    let steps = [(
        1,
        "records",
        "CREATE TABLE record (key BLOB PRIMARY KEY, value BLOB NOT NULL) STRICT, WITHOUT ROWID",
    )];
    let migration = |(version, about, text): (i64, &'static str, &'static str)| {
        let text = SqlStr::from_static(text);
        Migration::new(version, about.into(), MigrationType::Simple, text, false)
    };
    Migrator::with_migrations(steps.into_iter().map(migration).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn put(key: &[u8], value: &[u8]) -> Change {
        Change { key: key.to_vec(), value: Some(value.to_vec()) }
    }

    fn delete(key: &[u8]) -> Change {
        Change { key: key.to_vec(), value: None }
    }

    #[tokio::test]
    async fn what_was_saved_is_there_again_and_in_its_own_table() {
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).await.unwrap();
        store.save(vec![put(b"o1", b"one"), put(b"Px", b"peer"), put(b"h", b"1")]).await.unwrap();
        store.save(vec![put(b"h", b"2"), delete(b"o1"), put(b"o2", b"two")]).await.unwrap();
        let busy = Store::open(folder.path()).await;
        assert!(matches!(busy, Err(Error::InUse { .. })), "one process alone");
        drop(store);
        let mut store = Store::open(folder.path()).await.unwrap();
        let core = [(b"h".to_vec(), b"2".to_vec()), (b"o2".to_vec(), b"two".to_vec())];
        assert_eq!(store.core().await.unwrap(), core);
        assert_eq!(store.core_after(b"").await.unwrap(), core);
        assert_eq!(store.core_after(b"h").await.unwrap(), core[1..]);
        let peers = [(b"Px".to_vec(), b"peer".to_vec())];
        assert_eq!(store.table(b'P').await.unwrap(), peers);
    }

    #[tokio::test]
    async fn what_was_deleted_is_in_no_file() {
        let secret = b"a deleted secret that nobody may find again";
        let folder = tempfile::tempdir().unwrap();
        let mut store = Store::open(folder.path()).await.unwrap();
        store.save(vec![put(b"o1", secret), put(b"o2", &[7; 9_000])]).await.unwrap();
        let holds = || {
            let files = std::fs::read_dir(folder.path()).unwrap();
            files
                .filter(|file| {
                    let bytes = std::fs::read(file.as_ref().unwrap().path()).unwrap();
                    bytes.windows(secret.len()).any(|window| window == secret)
                })
                .count()
        };
        assert_ne!(holds(), 0, "it is on the disk");
        store.save(vec![delete(b"o1")]).await.unwrap();
        assert!(!store.is_settled());
        store.settle().await.unwrap();
        assert_eq!(holds(), 0);
    }

    #[tokio::test]
    async fn a_spoiled_file_is_refused_with_a_sentence() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join(FILE), [9; 5_000]).unwrap();
        let refused = Store::open(folder.path()).await.err().unwrap().to_string();
        assert!(refused.contains("start again"), "{refused}");
    }
}
