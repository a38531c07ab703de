//! The answers of a study: an SQLite file that a crash of the server, or of the machine, leaves whole.
//!
//! ```text
//! study(study_sha256)                                                                    one row: whose answers these are
//! answers(reader, item, revision, answer, client_id, reading_ms, received_unix_ms)       key: reader, item, revision
//! ```
//! Answers are only ever added. Write-ahead log with `synchronous=FULL`: an answer is on the disk before it is acknowledged.
use crate::error::{Error, Result};
use crate::format::Answer;
use rusqlite::{Connection, ErrorCode, OptionalExtension, Row, TransactionBehavior, params};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// How long to wait for another program (a scorer, say) that holds the file.
const BUSY: Duration = Duration::from_secs(5);

const TABLES: &str = "
    CREATE TABLE IF NOT EXISTS study(study_sha256 TEXT NOT NULL);
    CREATE TABLE IF NOT EXISTS answers(
        reader TEXT NOT NULL, item TEXT NOT NULL, revision INTEGER NOT NULL, answer TEXT NOT NULL, client_id TEXT NOT NULL UNIQUE,
        reading_ms INTEGER NOT NULL, received_unix_ms INTEGER NOT NULL, PRIMARY KEY(reader, item, revision));";

const COLUMNS: &str = "reader, item, answer, revision, reading_ms, received_unix_ms";

/// An open file of answers.
#[derive(Debug)]
pub struct Store {
    path: PathBuf,
    connection: Mutex<Connection>,
}

/// An answer as a page sends it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NewAnswer<'a> {
    /// The reader's name.
    pub reader: &'a str,
    /// The item's id.
    pub item: &'a str,
    /// One of the study's choices (the caller has checked it).
    pub answer: &'a str,
    /// Made up by the page for this answer: sent again, it is the same answer.
    pub client_id: &'a str,
    /// The revision that this answer is to become: 1, or one more than the last that the page has seen.
    pub expected_revision: u32,
    /// How long the item was in view before the answer, in ms.
    pub reading_ms: u64,
}

/// What became of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// It is on the disk, since now or since it was first sent.
    Kept {
        /// Its revision.
        revision: u32,
    },
    /// It is not kept: `expected_revision` is not the next one. Another window has answered, or answers came out of order.
    Stale {
        /// The reader's last answer to the item, if there is one.
        current: Option<Answer>,
    },
    /// It is not kept: its `client_id` belongs to a different answer.
    ClientIdTaken,
}

impl Store {
    /// Opens the answers of the study with this SHA-256 of `study.json`; begins the file where there is none.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be opened or written, is damaged, is no file of answers, or is another study's.
    pub fn open(path: impl AsRef<Path>, study_sha256: &str) -> Result<Self> {
        let path = path.as_ref().to_path_buf();
        let connection = begin(&path).map_err(|e| sqlite(&path, &e))?;
        let store = Self { path, connection: Mutex::new(connection) };
        store.claim(study_sha256)?;
        Ok(store)
    }

    /// As [`Store::open`], for scores: a file that is not there is an error.
    ///
    /// # Errors
    /// Those of [`Store::open`], and [`Error::File`] when there is no file.
    pub fn open_existing(path: impl AsRef<Path>, study_sha256: &str) -> Result<Self> {
        let path = path.as_ref();
        if !path.is_file() {
            return Err(file_error(
                path,
                "expected a file of answers, found none",
                "give the answers.sqlite of this study",
            ));
        }
        Self::open(path, study_sha256)
    }

    /// Keeps an answer: when this returns [`Put::Kept`] it is on the disk.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be read or written; nothing is kept then.
    pub fn put(&self, new: &NewAnswer) -> Result<Put> {
        put(&mut self.lock(), new).map_err(|e| sqlite(&self.path, &e))
    }

    /// All revisions of one reader's answers, by item and revision.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be read.
    pub fn answers(&self, reader: &str) -> Result<Vec<Answer>> {
        let query = format!("SELECT {COLUMNS} FROM answers WHERE reader = ?1 ORDER BY item, revision");
        self.select(&query, params![reader])
    }

    /// All revisions of all answers, by reader, item and revision.
    ///
    /// # Errors
    /// [`Error::File`] when the file cannot be read.
    pub fn all(&self) -> Result<Vec<Answer>> {
        self.select(&format!("SELECT {COLUMNS} FROM answers ORDER BY reader, item, revision"), params![])
    }

    fn select(&self, query: &str, values: &[&dyn rusqlite::ToSql]) -> Result<Vec<Answer>> {
        let connection = self.lock();
        let rows = || -> rusqlite::Result<Vec<Answer>> {
            connection.prepare(query)?.query_map(values, answer_of)?.collect()
        };
        rows().map_err(|e| sqlite(&self.path, &e))
    }

    /// Writes whose answers these will be into a new file, or checks it.
    fn claim(&self, study_sha256: &str) -> Result<()> {
        let claimed = || -> rusqlite::Result<String> {
            let mut connection = self.lock();
            let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let found =
                transaction.query_row("SELECT study_sha256 FROM study", [], |row| row.get(0)).optional()?;
            if found.is_none() {
                transaction.execute("INSERT INTO study VALUES (?1)", [study_sha256])?;
            }
            transaction.commit()?;
            Ok(found.unwrap_or_else(|| study_sha256.into()))
        };
        let found = claimed().map_err(|e| sqlite(&self.path, &e))?;
        if found != study_sha256 {
            let problem =
                format!("expected answers to the study with SHA-256 {study_sha256}, found those to {found}");
            return Err(file_error(&self.path, &problem, "give each study a file of its own"));
        }
        Ok(())
    }

    /// A panic in another thread has rolled its transaction back: the connection is sound.
    fn lock(&self) -> MutexGuard<'_, Connection> {
        self.connection.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Opens the file and makes the tables where it is new.
fn begin(path: &Path) -> rusqlite::Result<Connection> {
    let connection = Connection::open(path)?;
    connection.busy_timeout(BUSY)?;
    let tables: i64 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0))?;
    let ours: i64 = connection.query_row(
        "SELECT count(*) FROM sqlite_schema WHERE name IN ('study', 'answers')",
        [],
        |row| row.get(0),
    )?;
    if tables > 0 && ours != 2 {
        return Err(other("it is a database, but not of answers"));
    }
    let check: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    if check != "ok" {
        return Err(other(&check));
    }
    let mode: String = connection.query_row("PRAGMA journal_mode = WAL", [], |row| row.get(0))?;
    if mode != "wal" {
        return Err(other("this file system cannot hold a write-ahead log"));
    }
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(&format!("BEGIN IMMEDIATE; {TABLES} COMMIT;"))?;
    Ok(connection)
}

fn put(connection: &mut Connection, new: &NewAnswer) -> rusqlite::Result<Put> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let query = format!("SELECT {COLUMNS} FROM answers WHERE client_id = ?1");
    let earlier = transaction.prepare(&query)?.query_row([new.client_id], answer_of).optional()?;
    if let Some(earlier) = earlier {
        let same = (earlier.reader == new.reader && earlier.item == new.item && earlier.answer == new.answer)
            && earlier.revision == new.expected_revision;
        return Ok(if same { Put::Kept { revision: earlier.revision } } else { Put::ClientIdTaken });
    }
    let query = format!(
        "SELECT {COLUMNS} FROM answers WHERE reader = ?1 AND item = ?2 ORDER BY revision DESC LIMIT 1"
    );
    let current = transaction.prepare(&query)?.query_row([new.reader, new.item], answer_of).optional()?;
    let revision = current.as_ref().map_or(1, |answer| answer.revision.saturating_add(1));
    if new.expected_revision != revision {
        return Ok(Put::Stale { current });
    }
    let row = params![
        new.reader,
        new.item,
        revision,
        new.answer,
        new.client_id,
        i64::try_from(new.reading_ms).unwrap_or(i64::MAX),
        now_unix_ms()
    ];
    transaction.prepare("INSERT INTO answers VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)")?.execute(row)?;
    transaction.commit()?;
    Ok(Put::Kept { revision })
}

fn answer_of(row: &Row) -> rusqlite::Result<Answer> {
    Ok(Answer {
        reader: row.get(0)?,
        item: row.get(1)?,
        answer: row.get(2)?,
        revision: row.get(3)?,
        reading_ms: row.get::<_, i64>(4)?.max(0) as u64,
        received_unix_ms: row.get::<_, i64>(5)?.max(0) as u64,
    })
}

fn now_unix_ms() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(since.as_millis()).unwrap_or(i64::MAX)
}

/// A failure that SQLite itself does not see, in its type.
fn other(problem: &str) -> rusqlite::Error {
    rusqlite::Error::SqliteFailure(
        rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_NOTADB),
        Some(problem.into()),
    )
}

fn sqlite(path: &Path, error: &rusqlite::Error) -> Error {
    let hint = match error.sqlite_error_code() {
        Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt) => {
            "give a file of answers that is whole, or a name that is free; keep the damaged file, since answers may be recovered from it"
        }
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => {
            "end the other program that writes to it"
        }
        Some(ErrorCode::DiskFull) => "make room on the disk",
        _ => "check that the folder exists, that it may be written to, and that its disk is sound",
    };
    file_error(path, &format!("expected a usable file of answers, found: {error}"), hint)
}

fn file_error(path: &Path, problem: &str, hint: &str) -> Error {
    Error::File { path: path.into(), problem: problem.into(), hint: hint.into() }
}
