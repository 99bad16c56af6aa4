//! The intake against a log that makes a batch durable whenever the test permits it: order,
//! back-pressure, and what is answered after a stop.

use std::{
    collections::BTreeMap,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll},
    time::Duration,
};

use synrepl::log::{AppendFuture, LogEnds, ReadFuture};
use synrepl_core::stream::{Page, Row, Span};
use tokio::{
    io::{AsyncBufReadExt as _, AsyncReadExt as _, BufReader, DuplexStream, duplex},
    time::timeout,
};

use super::*;

/// The longest time that anything may take here; only a failing test waits that long.
const LIMIT: Duration = Duration::from_secs(30);

/// A log that keeps batches in the order of the calls; each becomes durable when there is a permit
/// for it.
struct GatedLog {
    batches: Mutex<Vec<(String, Vec<Row>)>>,
    permits: Arc<Semaphore>,
    finished: Arc<AtomicUsize>,
}

impl GatedLog {
    fn new(permits: usize) -> Arc<Self> {
        Arc::new(Self {
            batches: Mutex::default(),
            permits: Arc::new(Semaphore::new(permits)),
            finished: Arc::default(),
        })
    }

    fn calls(&self) -> usize {
        self.batches.lock().unwrap().len()
    }
}

impl LogStore for GatedLog {
    fn streams(&self) -> BTreeMap<String, Token> {
        BTreeMap::new()
    }

    fn attach(&self, _: LogEnds) {}

    fn append(&self, stream: ByteString, rows: Vec<Row>) -> AppendFuture {
        if rows.is_empty() {
            return Box::pin(std::future::ready(Err(AppendError::Empty)));
        }
        let mut batches = self.batches.lock().unwrap();
        batches.push((stream.to_string(), rows));
        let token = Token::new(i64::try_from(batches.len()).unwrap());
        let (permits, finished) = (Arc::clone(&self.permits), Arc::clone(&self.finished));
        Box::pin(async move {
            permits.acquire().await.unwrap().forget();
            finished.fetch_add(1, Ordering::SeqCst);
            Ok(token)
        })
    }

    fn read(&self, _: ByteString, Span { upto, .. }: Span, _: u32) -> ReadFuture {
        Box::pin(std::future::ready(Ok(Page { upto, ..Page::default() })))
    }
}

fn to<W>(out: W) -> Acknowledgements<W> {
    Acknowledgements { out, file: StdoutFile::none(), taken: Arc::default() }
}

async fn taken(input: &[u8], log: &Arc<GatedLog>) -> (End, Vec<String>) {
    let mut output = Vec::new();
    let log: Arc<dyn LogStore> = Arc::<GatedLog>::clone(log);
    let (end, written) = run(input, to(&mut output), log, CancellationToken::new()).await;
    written.unwrap();
    let text = String::from_utf8(output).unwrap();
    (end, text.lines().map(str::to_owned).collect())
}

fn row(number: usize) -> String {
    format!("{{\"stream\":\"s\",\"rows\":[[{number}]]}}\n")
}

#[tokio::test]
async fn every_batch_has_its_line_in_order() {
    let log = GatedLog::new(1_000);
    let input: String = (1..=1_000).map(row).collect();
    let (end, lines) = taken(input.as_bytes(), &log).await;
    assert!(matches!(end, End::Eof));
    let expected: Vec<String> =
        (1..=1_000).map(|token| format!(r#"{{"stream":"s","token":{token}}}"#)).collect();
    assert_eq!(lines, expected);
    let batches = log.batches.lock().unwrap();
    assert!(
        batches
            .iter()
            .zip(1..)
            .all(|((_, rows), number)| rows[0].as_str() == format!("[{number}]"))
    );
}

#[tokio::test]
async fn a_bad_line_has_an_error_in_its_place_and_the_next_goes_on() {
    let log = GatedLog::new(1_000);
    let long = "x".repeat(LINE_BYTES_MAX + 1);
    let input = format!(
        "{}not json\n\n  \r\n{}{{\"stream\":\"s\",\"rows\":[]}}\n{long}\n{{\"stream\":\"s\",\"rows\":[[1]]}}",
        row(1),
        row(2),
    );
    let (_, lines) = taken(input.as_bytes(), &log).await;
    assert_eq!(lines.len(), 6, "{lines:#?}");
    assert_eq!(lines[0], r#"{"stream":"s","token":1}"#);
    assert!(lines[1].starts_with(r#"{"error":"not of the form"#), "{}", lines[1]);
    assert!(lines[1].ends_with(r#","line":2}"#), "{}", lines[1]);
    assert_eq!(lines[2], r#"{"stream":"s","token":2}"#);
    assert!(lines[3].contains("at least one row") && lines[3].ends_with(r#","line":6}"#));
    assert!(lines[4].contains("at most") && lines[4].ends_with(r#","line":7}"#), "{}", lines[4]);
    assert_eq!(lines[5], r#"{"stream":"s","token":3}"#);
    assert_eq!(log.calls(), 3, "nothing of a bad line is kept");
}

#[tokio::test]
async fn a_byte_order_mark_before_the_first_line_is_no_part_of_it() {
    let log = GatedLog::new(1_000);
    let (_, lines) = taken(format!("\u{feff}{}\u{feff}{}", row(1), row(2)).as_bytes(), &log).await;
    assert_eq!(lines[0], r#"{"stream":"s","token":1}"#);
    assert!(lines[1].starts_with(r#"{"error""#), "{}", lines[1]);
}

#[tokio::test]
async fn lines_that_were_refused_are_counted_and_the_first_is_kept() {
    let log: Arc<dyn LogStore> = GatedLog::new(1_000);
    let input = format!("{}not json\n{{\"stream\":\"s\",\"rows\":[]}}\n", row(1));
    let output = to(tokio::io::sink());
    let taken = Arc::clone(&output.taken);
    run(input.as_bytes(), output, log, CancellationToken::new()).await.1.unwrap();
    assert_eq!(taken.lines_refused(), 2);
    let first = taken.first_refusal().unwrap();
    assert!(first.starts_with("line 2: not of the form"), "{first}");
    // The log, which is asked about the other one, counts that itself.
    assert_eq!(taken.refused(), 1);
}

/// A stdin that never blocks, and counts the lines that were read from it.
struct Endless {
    line: Vec<u8>,
    given: Arc<AtomicUsize>,
}

impl AsyncRead for Endless {
    fn poll_read(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        buffer: &mut tokio::io::ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        buffer.put_slice(&self.line[..self.line.len().min(buffer.remaining())]);
        self.given.fetch_add(1, Ordering::SeqCst);
        Poll::Ready(Ok(()))
    }
}

/// Yields to all other tasks until `look` no longer changes, and returns its value.
async fn settled(mut look: impl FnMut() -> usize) -> usize {
    let (mut last, mut same) = (look(), 0);
    while same < 100 {
        tokio::task::yield_now().await;
        let now = look();
        same = if now == last { same + 1 } else { 0 };
        last = now;
    }
    last
}

#[tokio::test]
async fn a_slow_log_stops_the_reading_of_stdin() {
    let log = GatedLog::new(0);
    let given = Arc::new(AtomicUsize::new(0));
    let input = Endless { line: row(1).into_bytes(), given: Arc::clone(&given) };
    let dynamic: Arc<dyn LogStore> = Arc::<GatedLog>::clone(&log);
    let task = tokio::spawn(run(input, to(tokio::io::sink()), dynamic, CancellationToken::new()));
    let calls = settled(|| log.calls()).await;
    assert!((LINES_MAX..=LINES_MAX + 1).contains(&calls), "{calls}");
    let read = given.load(Ordering::SeqCst);
    assert!(read < LINES_MAX + READ_AHEAD, "{read} lines were read");
    log.permits.add_permits(10);
    assert_eq!(settled(|| log.calls()).await, calls + 10);
    task.abort();
}

/// A number of lines that is more than one read brings.
const READ_AHEAD: usize = (64 << 10) / 20;

#[tokio::test]
async fn a_reader_that_does_not_take_acknowledgements_stops_the_reading_of_stdin() {
    let log = GatedLog::new(Semaphore::MAX_PERMITS);
    let input = Endless { line: row(1).into_bytes(), given: Arc::default() };
    let (output, _unread) = duplex(64);
    let dynamic: Arc<dyn LogStore> = Arc::<GatedLog>::clone(&log);
    let task = tokio::spawn(run(input, to(output), dynamic, CancellationToken::new()));
    let calls = settled(|| log.calls()).await;
    // Lines are taken until a chunk and the queue are full, and no more.
    assert!(calls < LINES_MAX + 2 * CHUNK_BYTES / 20, "{calls}");
    task.abort();
}

#[tokio::test]
async fn bytes_are_bounded_as_well_as_lines() {
    let log = GatedLog::new(0);
    let line = format!("{{\"stream\":\"s\",\"rows\":[[\"{}\"]]}}\n", "x".repeat(7 << 20));
    let input: String = (0..20).map(|_| line.as_str()).collect();
    let dynamic: Arc<dyn LogStore> = Arc::<GatedLog>::clone(&log);
    let task = tokio::spawn(async move {
        run(input.as_bytes(), to(tokio::io::sink()), dynamic, CancellationToken::new()).await
    });
    assert_eq!(settled(|| log.calls()).await, BYTES_MAX / line.len());
    task.abort();
}

#[tokio::test]
async fn after_a_stop_everything_that_was_read_is_answered() {
    let log = GatedLog::new(0);
    let (mut feed, input) = duplex(64 << 10);
    let (output, acknowledged) = duplex(64);
    let stop = CancellationToken::new();
    let dynamic: Arc<dyn LogStore> = Arc::<GatedLog>::clone(&log);
    let task = tokio::spawn(run(input, to(output), dynamic, stop.clone()));
    let text: String = (1..=5).map(row).chain(["{\"half".to_owned()]).collect();
    feed.write_all(text.as_bytes()).await.unwrap();
    settled(|| log.calls()).await;
    stop.cancel();
    settled(|| log.calls()).await;
    assert!(!task.is_finished(), "it waits for what is under way");
    log.permits.add_permits(5);
    let lines = all_lines(acknowledged).await;
    assert_eq!(lines.len(), 5, "{lines:?}");
    let (end, written) = timeout(LIMIT, task).await.unwrap().unwrap();
    assert!(matches!(end, End::Stopped) && written.is_ok());
}

#[tokio::test]
async fn a_stop_while_the_log_is_slow_leaves_no_line_that_was_read() {
    let log = GatedLog::new(0);
    let text = row(1).repeat(LINES_MAX + 2_000);
    let (mut feed, input) = duplex(text.len());
    feed.write_all(text.as_bytes()).await.unwrap();
    let (output, acknowledged) = duplex(64);
    let stop = CancellationToken::new();
    let dynamic: Arc<dyn LogStore> = Arc::<GatedLog>::clone(&log);
    let task = tokio::spawn(run(input, to(output), dynamic, stop.clone()));
    let begun = settled(|| log.calls()).await;
    stop.cancel();
    log.permits.add_permits(text.len());
    let lines = all_lines(acknowledged).await;
    // A read brings 64 KiB, so some hundred lines were read whose append could not begin.
    assert!(lines.len() > begun + 100, "{} after {begun}", lines.len());
    assert_eq!(lines.len(), log.calls());
    assert!(matches!(timeout(LIMIT, task).await.unwrap().unwrap().0, End::Stopped));
}

async fn all_lines(output: DuplexStream) -> Vec<String> {
    let mut lines = BufReader::new(output).lines();
    let mut all = Vec::new();
    while let Some(line) = timeout(LIMIT, lines.next_line()).await.unwrap().unwrap() {
        all.push(line);
    }
    all
}

#[tokio::test]
async fn acknowledgements_do_not_wait_for_later_lines() {
    let log = GatedLog::new(1);
    let (mut feed, input) = duplex(64 << 10);
    let (output, mut acknowledged) = duplex(64 << 10);
    let dynamic: Arc<dyn LogStore> = Arc::<GatedLog>::clone(&log);
    let task = tokio::spawn(run(input, to(output), dynamic, CancellationToken::new()));
    feed.write_all(format!("{}{}", row(1), row(2)).as_bytes()).await.unwrap();
    let expected = "{\"stream\":\"s\",\"token\":1}\n";
    let mut first = vec![0; expected.len()];
    timeout(LIMIT, acknowledged.read_exact(&mut first)).await.unwrap().unwrap();
    assert_eq!(first, expected.as_bytes());
    task.abort();
}

#[tokio::test]
async fn when_nobody_reads_acknowledgements_nothing_more_is_taken_but_what_was_is_finished() {
    let log = GatedLog::new(1);
    let (mut feed, input) = duplex(64 << 10);
    let (output, acknowledged) = duplex(64);
    drop(acknowledged);
    let dynamic: Arc<dyn LogStore> = Arc::<GatedLog>::clone(&log);
    let task = tokio::spawn(run(input, to(output), dynamic, CancellationToken::new()));
    let text: String = (1..=3).map(row).collect();
    feed.write_all(text.as_bytes()).await.unwrap();
    settled(|| log.calls()).await;
    log.permits.add_permits(2);
    let (end, written) = timeout(LIMIT, task).await.unwrap().unwrap();
    assert!(matches!(end, End::NoReader));
    assert_eq!(written.unwrap_err().kind(), io::ErrorKind::BrokenPipe);
    assert_eq!(log.finished.load(Ordering::SeqCst), 3);
}
