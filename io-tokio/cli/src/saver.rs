//! Saves positions while events flow. Positions enter; the positions file leaves. No event waits
//! for a save.

use std::{io, time::Duration};

use synrepl_core::stream::Positions;
use tokio::{task::JoinHandle, time::Instant};

use super::positions_file::PositionsFile;

/// The shortest time between two saves.
const INTERVAL: Duration = Duration::from_secs(1);

/// Saves positions at most once per [`INTERVAL`], one save at a time, on a thread of its own.
#[derive(Debug)]
pub(super) struct Saver {
    file: PositionsFile,
    /// The positions that the file holds, or will hold once the running save is done.
    offered: Positions,
    last: Instant,
    running: Option<JoinHandle<io::Result<()>>>,
}

impl Saver {
    /// A saver to `file`, which holds `positions`.
    pub(super) const fn new(file: PositionsFile, positions: Positions, now: Instant) -> Self {
        Self { file, offered: positions, last: now, running: None }
    }

    /// Begins a save if one is due and these positions are new. Every event that they cover must
    /// have been written to stdout. Returns the error of an earlier save; the next one tries again.
    pub(super) async fn offer(&mut self, positions: &Positions, now: Instant) -> io::Result<()> {
        if self.running.as_ref().is_some_and(|running| !running.is_finished()) {
            return Ok(());
        }
        let result = self.reap().await;
        if now.saturating_duration_since(self.last) >= INTERVAL && *positions != self.offered {
            self.last = now;
            self.offered = positions.clone();
            let (file, positions) = (self.file.clone(), positions.clone());
            self.running = Some(tokio::task::spawn_blocking(move || file.save(&positions)));
        }
        result
    }

    /// Saves for the last time, if the file does not hold these positions yet.
    pub(super) async fn finish(&mut self, positions: &Positions) -> io::Result<()> {
        let earlier = self.reap().await;
        if earlier.is_ok() && *positions == self.offered {
            return Ok(());
        }
        self.file.save(positions)
    }

    /// The file's name, for messages.
    pub(super) fn path(&self) -> String {
        self.file.path().display().to_string()
    }

    async fn reap(&mut self) -> io::Result<()> {
        let Some(running) = self.running.take() else { return Ok(()) };
        let result = running.await.map_err(io::Error::other).flatten();
        if result.is_err() {
            // The file holds an older value; with empty positions here the next offer counts as
            // new.
            self.offered = Positions::new();
        }
        result
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use synrepl_core::stream::{Source, Token};

    use super::*;

    fn at(token: i64) -> Positions {
        let mut positions = Positions::new();
        positions.set(&Source::new("events", "p1"), Token::new(token));
        positions
    }

    #[tokio::test]
    async fn saves_are_at_least_an_interval_apart() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("positions.json");
        let (file, positions) = PositionsFile::open(&path).unwrap();
        let start = Instant::now();
        let mut saver = Saver::new(file, positions, start);
        saver.offer(&at(1), start).await.unwrap();
        assert!(saver.running.is_none());
        saver.offer(&at(2), start + INTERVAL).await.unwrap();
        saver.reap().await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"events\":{\"p1\":2}}\n");
        saver.offer(&at(3), start + INTERVAL).await.unwrap();
        assert!(saver.running.is_none());
        saver.finish(&at(3)).await.unwrap();
        assert_eq!(fs::read_to_string(&path).unwrap(), "{\"events\":{\"p1\":3}}\n");
    }

    #[tokio::test]
    async fn a_failed_save_is_told_and_tried_again() {
        let directory = tempfile::tempdir().unwrap();
        let (inner, moved) = (directory.path().join("inner"), directory.path().join("moved"));
        fs::create_dir(&inner).unwrap();
        let (file, positions) = PositionsFile::open(&inner.join("positions.json")).unwrap();
        let start = Instant::now();
        let mut saver = Saver::new(file, positions, start);
        fs::rename(&inner, &moved).unwrap();
        saver.offer(&at(1), start + INTERVAL).await.unwrap();
        assert!(saver.reap().await.is_err());
        fs::rename(&moved, &inner).unwrap();
        saver.offer(&at(1), start + INTERVAL * 2).await.unwrap();
        saver.reap().await.unwrap();
        let text = fs::read_to_string(inner.join("positions.json")).unwrap();
        assert_eq!(text, "{\"events\":{\"p1\":1}}\n");
    }
}
