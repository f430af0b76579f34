//! The embedded ledger's file: its final blocks, one after the other.
//!
//! ```text
//! genesis hash 32 | each block: size 4, little-endian, bytes of `money::embedded::Block::to_bytes`
//! ```
//! What always holds: a block is on the disk when `append` returns; a last block that was written half is
//! cut off at the next start. Absent: blocks that are not final. A crash loses them, as a fork does.

use std::fs::{File, OpenOptions};
use std::io::{self, Read as _, Write as _};
use std::path::Path;

use money::Ledger;
use money::embedded::Genesis;

/// The file of one ledger. It is locked as long as this lives.
pub struct BlockFile {
    file: File,
    /// The height of the newest block in it.
    height: u64,
}

impl BlockFile {
    /// Opens or creates the file and takes its blocks back.
    ///
    /// # Errors
    /// Whatever the disk says; `InvalidData` if it is another ledger's, or a block in the middle is
    /// spoiled; `WouldBlock` if another process has it open.
    pub fn open(path: &Path, genesis: Genesis) -> io::Result<(Self, Ledger)> {
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options?;
        file.try_lock()?;
        let mut bytes = Vec::new();
        file.read_to_end(&mut bytes)?;
        if bytes.is_empty() {
            let ledger = begin(genesis)?;
            file.write_all(&ledger.genesis().hash())?;
            file.sync_all()?;
            return Ok((Self { file, height: 0 }, ledger));
        }
        let (ledger, whole) = take_back(&bytes, genesis)?;
        file.set_len(whole as u64)?;
        let height = ledger.head().height;
        Ok((Self { file, height }, ledger))
    }

    /// Writes down what became final since the last time.
    ///
    /// # Errors
    /// Whatever the disk says. The ledger must stop then.
    pub fn append(&mut self, ledger: &Ledger) -> io::Result<()> {
        let mut bytes = Vec::new();
        let newest = ledger.final_head().height;
        for block in (self.height + 1..=newest).filter_map(|height| ledger.block(height)) {
            let block = block.to_bytes();
            let size =
                u32::try_from(block.len()).map_err(|_| wrong("a block is too large".into()))?;
            bytes.extend_from_slice(&size.to_le_bytes());
            bytes.extend_from_slice(&block);
        }
        if bytes.is_empty() {
            return Ok(());
        }
        io::Seek::seek(&mut self.file, io::SeekFrom::End(0))?;
        self.file.write_all(&bytes)?;
        self.file.sync_data()?;
        self.height = newest;
        Ok(())
    }
}

/// Takes the blocks of a file back; says how many of its bytes are whole.
///
/// # Errors
/// `InvalidData` if it is another ledger's, or a block in the middle is spoiled.
pub fn take_back(bytes: &[u8], genesis: Genesis) -> io::Result<(Ledger, usize)> {
    let mut ledger = begin(genesis)?;
    let hash = ledger.genesis().hash();
    let Some(mut rest) = bytes.strip_prefix(&hash) else {
        return Err(wrong("the file is another ledger's".into()));
    };
    while let Some((block, after)) = next(rest) {
        ledger.replay(block).map_err(|why| wrong(format!("{why:?}")))?;
        rest = after;
    }
    // What was shown as final before the start is so after it.
    ledger.settle();
    Ok((ledger, bytes.len() - rest.len()))
}

fn begin(genesis: Genesis) -> io::Result<Ledger> {
    Ledger::new(genesis).map_err(|why| wrong(format!("{why:?}")))
}

fn next(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (size, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u32::from_le_bytes(*size) as usize)
}

fn wrong(why: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, why)
}
