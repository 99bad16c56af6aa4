//! `synrepl follow --tcp` on old releases of Synapse, through a proxy that cuts inside lines,
//! stalls, delays, and goes half-open, while the follower itself is stopped, killed and resumed:
//! every row arrives.

#![expect(clippy::print_stdout, reason = "a test's output, shown when it fails")]

use std::{collections::BTreeMap, time::Duration};

use synrepl_tests::{
    Failure, Source,
    clock::Stopwatch,
    delivered::Deliveries,
    direct::{compare, reached},
    follow::{Follower, Line, Run, replay},
    held::{Rows, held_at},
    legacy::{INSTANCE, Legacy},
    oracle::{Log, compared_from, judge, table},
    proxy::Proxy,
    traffic::Traffic,
    truth::{Truth, announced, held_over_tcp},
};

/// The longest time of a fault-free step before it counts as stuck.
const STEP: Duration = Duration::from_secs(60);
/// The beginnings of lines to cut inside of: lines of every class, and a batch.
const CUTS: [&str; 6] = [
    "RDATA events",
    "RDATA account_data",
    "RDATA device_lists",
    "RDATA typing",
    "RDATA to_device",
    "RDATA presence",
];

/// A follower of an old release, with the proxy before it, the plain connection beside it, and its
/// runs so far.
struct Scene<'a> {
    legacy: &'a Legacy,
    clock: Stopwatch,
    proxy: Proxy,
    truth: Truth,
    follower: Option<Follower>,
    runs: Vec<Run>,
    traces: Vec<std::path::PathBuf>,
}

impl<'a> Scene<'a> {
    fn open(legacy: &'a Legacy) -> Result<Self, Failure> {
        let mut scene = Self {
            legacy,
            clock: Stopwatch::start(),
            proxy: Proxy::open(legacy.tcp()?)?,
            truth: Truth::open(legacy, STEP)?,
            follower: None,
            runs: Vec::new(),
            traces: Vec::new(),
        };
        scene.start()?;
        scene.wait_until_live()?;
        Ok(scene)
    }

    /// Waits until every stream is announced and caught up in this run.
    fn wait_until_live(&self) -> Result<(), Failure> {
        let streams = self.legacy.release().streams;
        self.follower()?.wait_until("every stream to be live", STEP, |lines| {
            let live = lines.iter().filter(|line| matches!(line, Line::Live { .. }));
            live.count() >= streams
        })
    }

    fn step(&self, what: &str) {
        println!("{:6.1?} {}: {what}", self.clock.elapsed(), self.legacy.release().version);
    }

    fn follower(&self) -> Result<&Follower, Failure> {
        self.follower.as_ref().ok_or_else(|| "no follower runs".into())
    }

    fn start(&mut self) -> Result<(), Failure> {
        let release = self.legacy.release();
        let mut flags = vec!["--tcp".to_owned(), self.proxy.address().to_string()];
        flags.extend(["--dialect", release.version, "--start", "now"].map(str::to_owned));
        flags.extend(["--server-name".to_owned(), self.legacy.server_name()?.to_owned()]);
        if !release.oldest {
            let instance = format!("{INSTANCE}=http://{}", self.legacy.http()?);
            flags.extend(["--instance".to_owned(), instance]);
        }
        let name = format!("run-{}", self.runs.len());
        let dir = self.legacy.path("follow");
        self.follower = Some(Follower::launch(&dir, &name, "positions.json", &flags)?);
        Ok(())
    }

    fn stop(&mut self) -> Result<(), Failure> {
        let stopped = self.follower.take().ok_or("no follower runs")?.stop()?;
        self.runs.push(stopped.run);
        self.traces.push(stopped.trace);
        Ok(())
    }

    fn kill(&mut self) -> Result<(), Failure> {
        self.runs.push(self.follower.take().ok_or("no follower runs")?.kill()?);
        Ok(())
    }

    /// Waits until the follower has printed every token that the plain connection has received by
    /// now.
    fn wait_until_complete(&self) -> Result<(), Failure> {
        let wanted = self.truth.told().reached();
        let mut behind = Vec::new();
        let waited = self.follower()?.wait_until("what was sent by now", STEP, |lines| {
            let at = reached(lines);
            behind = wanted
                .iter()
                .filter(|(stream, token)| at.get(*stream).is_none_or(|at| at < token))
                .map(|(stream, token)| format!("{stream} is at {:?}, not {token}", at.get(stream)))
                .collect();
            behind.is_empty()
        });
        waited.map_err(|error| format!("{}\n{error}", behind.join("\n")).into())
    }

    /// Waits for this many more rows from the server, then until the follower has them.
    fn go_on(&self, rows: usize) -> Result<(), Failure> {
        self.truth.wait_for_rdata(rows, STEP)?;
        self.wait_until_complete()
    }

    /// Cuts inside lines, one after the other; the follower connects again each time.
    fn cut(&self, starts: &[&str]) -> Result<(), Failure> {
        for start in starts {
            let before = self.proxy.accepted();
            self.proxy.cut_inside(start, STEP)?;
            self.proxy.wait_for_connection(before, STEP)?;
            self.wait_until_complete()?;
        }
        Ok(())
    }

    /// Everything that the server holds of every stream since the follower began.
    fn held(
        &self,
        delivered: &Deliveries,
        announced: &BTreeMap<String, i64>,
    ) -> Result<BTreeMap<String, Rows>, Failure> {
        let mut held = BTreeMap::new();
        for (stream, &upto) in announced {
            let source = Source::new(stream, INSTANCE);
            let from = delivered.sources().get(&source).map_or(0, compared_from);
            let rows = if self.legacy.release().oldest {
                let rows = held_over_tcp(self.legacy, stream, from, STEP)?;
                rows.into_iter().filter(|(token, _)| *token <= upto).collect()
            } else if stream == "caches" {
                // With sqlite nothing is ever written to this stream, and a request for it is an
                // error.
                Rows::new()
            } else {
                held_at(self.legacy.http()?, &source, from, upto)?
            };
            held.insert(stream.clone(), rows);
        }
        Ok(held)
    }

    /// Compares all runs with what was sent and what is held; the error lists the faults.
    fn check(&self, announced: &BTreeMap<String, i64>) -> Result<(), Failure> {
        let release = self.legacy.release();
        let delivered = Deliveries::read_with_unclosed(&self.runs, release.unclosed);
        let held = self.held(&delivered, announced)?;
        let told = self.truth.told();
        let mut wrong = compare(&self.runs, &told, &held, announced);
        let logs: BTreeMap<Source, Log> = held
            .into_iter()
            .map(|(stream, mut rows)| {
                if stream == "federation" {
                    // Its rows hold the state of a user at the time of the request.
                    rows.clear();
                }
                let announced = announced[&stream];
                (Source::new(&stream, INSTANCE), Log { announced, rows })
            })
            .collect();
        println!("{}", table(&delivered, &logs));
        wrong.extend(judge(&delivered, &logs, |_, _| false));
        if !wrong.is_empty() {
            let more = wrong.len().saturating_sub(30);
            let shown: Vec<_> = wrong.into_iter().take(30).collect();
            return Err(format!("{}\n(and {more} more)", shown.join("\n")).into());
        }
        let with_rows = delivered.sources().values().filter(|of| of.row_count > 0).count();
        if with_rows < release.with_rows {
            return Err(format!("only {with_rows} streams had rows").into());
        }
        let fetched: usize = delivered.sources().values().map(|of| of.caught_up_count).sum();
        if fetched == 0 {
            return Err("nothing was ever caught up".into());
        }
        Ok(())
    }
}

/// Runs a follower of one release through all faults, and checks that every row arrives.
fn every_row_arrives(version: &str) {
    let legacy = Legacy::start(version).unwrap_or_else(|error| panic!("{error}"));
    let told = |legacy: &Legacy| -> Result<(), Failure> {
        let mut scene = Scene::open(legacy)?;
        scene.step("follows; traffic begins");
        let traffic = Traffic::on_legacy(legacy, 1, 40, 300)?;
        scene.wait_until_complete()?;

        scene.cut(&CUTS)?;
        scene.step("cut inside of lines");

        scene.proxy.stall();
        scene.truth.wait_for_rdata(300, STEP)?;
        scene.proxy.resume();
        scene.wait_until_complete()?;
        scene.step("stalled");

        scene.proxy.delay(Duration::from_millis(20));
        scene.proxy.break_into(7);
        scene.truth.wait_for_rdata(100, STEP)?;
        scene.cut(&CUTS[..1])?;
        scene.proxy.resume();
        scene.go_on(50)?;
        scene.step("delayed and in small pieces");

        scene.stop()?;
        scene.truth.wait_for_rdata(300, STEP)?;
        scene.start()?;
        scene.go_on(50)?;
        scene.step("stopped and resumed");

        scene.kill()?;
        scene.truth.wait_for_rdata(100, STEP)?;
        scene.start()?;
        scene.go_on(50)?;
        scene.step("killed and resumed");

        let before = scene.proxy.accepted();
        scene.proxy.let_go_half_open();
        scene.proxy.wait_for_connection(before, STEP)?;
        scene.go_on(50)?;
        scene.step("half-open, found out and connected again");

        println!("traffic: {}", traffic.stop()?);
        scene.wait_until_complete()?;
        scene.stop()?;
        // Every stream is announced, also those that moved without rows.
        scene.start()?;
        scene.wait_until_live()?;
        let announced = announced(legacy, STEP)?;
        let wanted = announced.iter().map(|(of, token)| (Source::new(of, INSTANCE), *token));
        scene.follower()?.wait_for_positions(&wanted.collect(), STEP)?;
        scene.stop()?;
        scene.step("complete; traffic and follower are stopped");

        scene.check(&announced)?;
        for trace in &scene.traces {
            replay(trace)?;
        }
        scene.step("compared with what was sent and is held; the traces replay");
        Ok(())
    };
    if let Err(error) = told(&legacy) {
        panic!("{}\n{error}", legacy.logs());
    }
}

#[test]
fn every_row_of_1_0_0_arrives_once() {
    every_row_arrives("1.0.0");
}

#[test]
fn every_row_of_1_12_4_arrives_once() {
    every_row_arrives("1.12.4");
}

#[test]
fn every_row_of_1_13_0_arrives_once() {
    every_row_arrives("1.13.0");
}

#[test]
fn every_row_of_1_66_0_arrives_once() {
    every_row_arrives("1.66.0");
}
