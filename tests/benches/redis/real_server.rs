//! A real redis-server of the bench's own, saturated by one publisher.

use std::{
    fs,
    io::{self, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    thread::{self, JoinHandle},
    time::Duration,
};

use bytes::BytesMut;
use synrepl_tests::redis::RedisServer;

use crate::{
    median, micros, rate,
    readers::{self, Reader, Reading},
    workload::Workload,
};

pub(crate) struct Server(RedisServer);

/// One reader's pass, and the CPU time of the server during it.
pub(crate) struct Pass {
    reading: Reading,
    server_cpu: Duration,
}

impl Server {
    /// Starts a redis-server on a free port.
    pub(crate) fn start() -> io::Result<Self> {
        RedisServer::start(&[]).map(Self).map_err(io::Error::other)
    }

    /// Publishes everything while `reader` reads it.
    pub(crate) fn pass(&self, reader: Reader, workload: &Workload, commands: &[BytesMut]) -> Pass {
        let commands: Vec<bytes::Bytes> =
            commands.iter().map(|piece| piece.clone().freeze()).collect();
        let (address, messages) = (self.0.address(), workload.messages);
        let cpu_before = self.cpu_time();
        let (reading, publisher) = readers::read(reader, &self.0.url(), workload, move || {
            thread::spawn(move || publish(address, &commands, messages))
        });
        let published: io::Result<()> = publisher.join().expect("the publisher");
        published.expect("published");
        Pass { reading, server_cpu: self.cpu_time() - cpu_before }
    }

    /// The server's user and system time, from `/proc/PID/stat`.
    fn cpu_time(&self) -> Duration {
        let process = self.0.process_id().expect("running");
        let stat = fs::read_to_string(format!("/proc/{process}/stat")).expect("/proc");
        // The name in parentheses may hold spaces; the times are fields 14 and 15.
        let (_, behind_name) = stat.rsplit_once(')').expect("a name");
        let ticks: u64 = behind_name
            .split_ascii_whitespace()
            .skip(11)
            .take(2)
            .map(|field| field.parse::<u64>().expect("ticks"))
            .sum();
        Duration::from_millis(ticks * 1_000 / rustix::param::clock_ticks_per_second())
    }
}

fn publish(address: SocketAddr, commands: &[bytes::Bytes], messages: usize) -> io::Result<()> {
    let mut stream = TcpStream::connect(address)?;
    let replies: JoinHandle<io::Result<()>> = {
        let mut stream = stream.try_clone()?;
        thread::spawn(move || {
            // Each message has one subscriber, so each reply is `:1` and its line end.
            let mut missing = messages * ":1\r\n".len();
            let mut buffer = vec![0; 64 * 1024];
            while missing > 0 {
                match stream.read(&mut buffer)? {
                    0 => return Err(io::ErrorKind::UnexpectedEof.into()),
                    length => missing -= length,
                }
            }
            Ok(())
        })
    };
    commands.iter().try_for_each(|piece| stream.write_all(piece))?;
    replies.join().unwrap_or_else(|_| Err(io::Error::other("the replies")))
}

/// Prints the medians of each reader.
#[expect(clippy::print_stdout, reason = "the table is what it is for")]
pub(crate) fn print_passes(passes: &[(Reader, Pass)], messages: usize) {
    println!(
        "{:<32} {:>12} {:>14} {:>10} {:>16} {:>10}",
        "reader", "CPU us/msg", "messages/s", "CPU %", "server us/msg", "CPU %"
    );
    for reader in Reader::ALL {
        let cpu = median(passes, reader, |pass| pass.reading.cpu);
        let wall = median(passes, reader, |pass| pass.reading.wall);
        let server = median(passes, reader, |pass| pass.server_cpu);
        let share = |cpu: Duration| 100.0 * cpu.as_secs_f64() / wall.as_secs_f64();
        println!(
            "{:<32} {:>12.3} {:>14.0} {:>10.0} {:>16.3} {:>10.0}",
            reader.name(),
            micros(cpu, messages),
            rate(wall, messages),
            share(cpu),
            micros(server, messages),
            share(server),
        );
    }
}
