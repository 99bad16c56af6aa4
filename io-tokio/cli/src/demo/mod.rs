//! `synrepl demo`: a writer, two followers, and faults on purpose between them. An account of the
//! run and a table leave; the exit code is 0 only if every follower got every row once and in
//! order.

mod account;
mod bus;
mod proxy;
mod sleeper;
mod writer;

use std::{
    io::{self, Write},
    net::{Ipv4Addr, SocketAddr, TcpListener},
    process::ExitCode,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use synrepl::{Builder, Replication};
use synrepl_core::{Backoff, wire::Dialect};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use self::{
    account::{Delivered, Table, Written},
    bus::Bus,
    proxy::Proxy,
    sleeper::Sleeper,
    writer::{NAME, Order, Plan, Writer},
};
use super::{
    exit::{FAILED, Failure, INTERRUPTED, OK},
    flags::DemoFlags,
};

const SERVER_NAME: &str = "demo.example";
/// The usual number of batches per second, of 1.5 rows on average.
const USUAL_RATE: u32 = 1_500;
/// The number of batches per second while a peer does not read, so that its queue fills.
const HIGH_RATE: u32 = 12_000;
/// A number of rows that is more than the system buffers for a connection and the writer keeps for
/// a peer.
const SLEEPER_ROWS: usize = 35_000;
/// The time that the writer and its followers have to become complete once the faults are over.
const PATIENCE: Duration = Duration::from_secs(10);
/// The time between two checks whether all are complete.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// Runs the demonstration.
///
/// # Errors
/// Fails if the system does not give what the demonstration needs, or if the writer fails.
pub(super) async fn run(flags: DemoFlags) -> Result<ExitCode, Failure> {
    let directory = tempfile::tempdir()
        .map_err(|error| Failure::failed(format!("no temporary directory: {error}")))?;
    let interrupted = async {
        // If signals cannot be listened for, the demonstration runs to its end.
        if tokio::signal::ctrl_c().await.is_err() {
            std::future::pending::<()>().await;
        }
    };
    let mut demo = Demo::set_up(&flags, directory.path().to_owned()).await?;
    let table = tokio::select! {
        biased;
        () = interrupted => {
            let _ = writeln!(io::stderr(), "interrupted; nothing is shown by it");
            return Ok(ExitCode::from(INTERRUPTED));
        }
        table = demo.play() => table?,
    };
    if flags.json {
        print(&format!("{}\n", table.to_json()));
    } else {
        print(&format!("\n{}\n{}\n", table.to_text(), verdict(&table)));
    }
    Ok(ExitCode::from(if table.is_good() { OK } else { FAILED }))
}

fn verdict(table: &Table) -> &'static str {
    if table.is_good() {
        "Nothing was lost, nothing came twice, everything came in order."
    } else {
        "This is a defect: something was lost, repeated, or out of order."
    }
}

/// Prints to stdout. A reader of stdout that went away does not change the exit code.
fn print(text: &str) {
    let _ = io::stdout().write_all(text.as_bytes());
}

struct Demo {
    plan: Plan,
    bus: Bus,
    wire: Proxy,
    written: Arc<Mutex<Written>>,
    followers: [Follower; 2],
    faults: u64,
    started: Instant,
    /// Whether stdout is for the JSON; the account then goes to stderr.
    json: bool,
}

async fn pause(seconds: f64) {
    sleep(Duration::from_secs_f64(seconds)).await;
}

struct Follower {
    name: &'static str,
    delivered: Arc<Mutex<Delivered>>,
    /// The task that takes the events; it ends when dropped.
    _task: tokio::task::JoinSet<()>,
}

impl Follower {
    fn start(name: &'static str, mut replication: Replication) -> Self {
        let delivered = Arc::new(Mutex::new(Delivered::default()));
        let taken = Arc::clone(&delivered);
        let mut task = tokio::task::JoinSet::new();
        task.spawn(async move {
            while let Some(event) = replication.next().await {
                lock(&taken).take(&event);
            }
        });
        Self { name, delivered, _task: task }
    }
}

/// Locks a shared value. No code panics while holding such a lock, so a poisoned one guards a whole
/// value.
fn lock<T>(shared: &Mutex<T>) -> MutexGuard<'_, T> {
    shared.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Demo {
    async fn set_up(flags: &DemoFlags, directory: std::path::PathBuf) -> Result<Self, Failure> {
        let failed = |what: &'static str| {
            move |error: io::Error| Failure::failed(format!("{what}: {error}"))
        };
        let program = std::env::current_exe().map_err(failed("cannot find this program"))?;
        let bus = Bus::start().await.map_err(failed("no port for the bus"))?;
        let (tcp, http) = free_addresses().map_err(failed("no ports for the writer"))?;
        let wire = Proxy::start(tcp).await.map_err(failed("no port for the wire"))?;
        let plan =
            Plan { program, directory, redis: bus.url(), server_name: SERVER_NAME, tcp, http };
        let fetch_from = format!("http://{http}");
        let followers = {
            let url = |error: synrepl::UrlError| Failure::failed(error.to_string());
            let over_bus = Builder::redis(&bus.url(), SERVER_NAME)
                .and_then(|builder| builder.fetch_from(NAME, &fetch_from))
                .map_err(url)?;
            let over_tcp = Builder::tcp(&wire.address().to_string(), Dialect::LATEST)
                .and_then(|builder| builder.fetch_from(NAME, &fetch_from))
                .map_err(url)?;
            [("over a Redis bus", over_bus), ("over direct TCP", over_tcp)].map(
                |(name, builder)| {
                    let replication = builder
                        .instance(name.replace(' ', "-"))
                        .start(synrepl::Start::Beginning)
                        .core(|config| {
                            let quick = Duration::from_millis(100);
                            config.connection.reconnect = Backoff::new(quick, 5 * quick);
                            config.catch_up.fetch_retry = Backoff::new(quick, 5 * quick);
                        })
                        .spawn();
                    replication
                        .map(|replication| Follower::start(name, replication))
                        .map_err(|error| Failure::failed(error.to_string()))
                },
            )
        };
        let [over_bus, over_tcp] = followers;
        Ok(Self {
            plan,
            bus,
            wire,
            written: Arc::new(Mutex::new(Written::default())),
            followers: [over_bus?, over_tcp?],
            faults: 0,
            started: Instant::now(),
            json: flags.json,
        })
    }

    /// Runs the writer and the faults, waits until all are complete, and compares.
    async fn play(&mut self) -> Result<Table, Failure> {
        self.tell("   time  written     bus     tcp\n");
        self.say("a writer with a durable log, two followers, everything on loopback");
        let writer = Writer::start(self.plan.clone(), Arc::clone(&self.written))
            .map_err(|error| Failure::failed(format!("the writer does not start: {error}")))?;
        let (orders, ordered) = mpsc::channel(16);
        let mut writer = Box::pin(writer.run(ordered));
        let broke = |error: String| Failure::failed(error);
        tokio::select! {
            biased;
            ended = &mut writer => {
                ended.map_err(broke)?;
                return Err(Failure::failed("the writer ended before the demonstration"));
            }
            () = self.break_things(&orders) => {}
        }
        drop(orders);
        let end = Instant::now() + PATIENCE;
        let Ok(settled) = timeout_at(end, &mut writer).await else {
            return Err(Failure::failed("the writer did not acknowledge everything in time"));
        };
        let _process = settled.map_err(broke)?;
        self.wait_until_complete(end).await;
        Ok(self.table())
    }

    async fn break_things(&mut self, orders: &mpsc::Sender<Order>) {
        let order = async |order| {
            // If the writer has ended, `play` reports it.
            let _ = orders.send(order).await;
        };
        order(Order::Rate(USUAL_RATE)).await;
        pause(2.0).await;
        self.fault("the wire of the TCP follower is cut inside a line");
        self.wire.cut();
        pause(1.0).await;
        self.say("the wire is mended");
        self.wire.mend();

        pause(1.5).await;
        self.fault("the bus loses every message, unnoticed");
        self.bus.swallow();
        pause(0.5).await;
        let lost = self.bus.swallowed();
        self.fault(&format!("the bus drops all connections; {lost} messages were lost"));
        self.bus.cut();

        pause(2.0).await;
        self.fault("a third peer connects and reads nothing; the writer writes eight times faster");
        let sleeper = Sleeper::connect(self.plan.tcp).await;
        order(Order::Rate(HIGH_RATE)).await;
        self.wait_until_written(SLEEPER_ROWS).await;
        order(Order::Rate(USUAL_RATE)).await;
        match sleeper {
            Ok(sleeper) => match sleeper.wake_up().await {
                Some(Some(error)) => {
                    self.say(&format!("the third peer was cut off, with {error:?}"));
                }
                Some(None) => self.say("the third peer was cut off"),
                None => self.say("the third peer was not cut off: the rows all fit somewhere"),
            },
            Err(error) => self.say(&format!("the third peer could not connect: {error}")),
        }

        for _ in 0..2 {
            pause(1.0).await;
            self.fault("the writer is killed (SIGKILL), with rows under way");
            order(Order::Kill).await;
            pause(0.7).await;
            self.say("the writer starts again on its log");
            order(Order::Start).await;
            pause(1.5).await;
        }

        self.fault("wire and bus are cut at the same moment");
        self.wire.cut();
        self.bus.cut();
        pause(0.5).await;
        self.wire.mend();
        pause(1.5).await;
        self.say("no more rows and no more faults; waiting until everyone has everything");
    }

    /// Waits until so many more rows are acknowledged, at most [`PATIENCE`]: the machine may be
    /// slow.
    async fn wait_until_written(&self, rows: usize) {
        let written = || lock(&self.written).acknowledged().count();
        let (enough, end) = (written() + rows, Instant::now() + PATIENCE);
        while written() < enough && Instant::now() < end {
            sleep(LOOK_EVERY).await;
        }
    }

    async fn wait_until_complete(&self, end: Instant) {
        while Instant::now() < end {
            let wanted = lock(&self.written).acknowledged().count();
            if self.followers.iter().all(|follower| lock(&follower.delivered).rows() >= wanted) {
                // A row that comes twice would come within this time.
                sleep(4 * LOOK_EVERY).await;
                return;
            }
            sleep(LOOK_EVERY).await;
        }
        self.say("not everyone was complete in time");
    }

    fn table(&self) -> Table {
        let delivered = self.followers.each_ref().map(|follower| lock(&follower.delivered));
        let mut lines = Vec::new();
        for (follower, delivered) in self.followers.iter().zip(&delivered) {
            lines.push((follower.name, &**delivered));
        }
        Table::of(&lock(&self.written), self.faults, &lines)
    }

    fn fault(&mut self, what: &str) {
        self.faults += 1;
        self.say(&format!("FAULT {what}"));
    }

    /// Prints one line of the account, with the numbers of rows written and delivered so far.
    fn say(&self, what: &str) {
        let written = lock(&self.written).acknowledged().count();
        let [bus, tcp] = self.followers.each_ref().map(|one| lock(&one.delivered).rows());
        let seconds = self.started.elapsed().as_secs_f64();
        self.tell(&format!("{seconds:5.1} s  {written:>7} {bus:>7} {tcp:>7}  {what}\n"));
    }

    fn tell(&self, line: &str) {
        if self.json {
            let _ = io::stderr().write_all(line.as_bytes());
        } else {
            print(line);
        }
    }
}

/// Two addresses on which nobody listens. Another process may take them before the writer does; the
/// writer then reports it.
fn free_addresses() -> io::Result<(SocketAddr, SocketAddr)> {
    let free = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0));
    let (one, other) = (free()?, free()?);
    Ok((one.local_addr()?, other.local_addr()?))
}
