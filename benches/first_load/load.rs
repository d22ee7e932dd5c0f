//! One first load by the binary, and what it took.

use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use super::{http, table};

/// A load to be done.
pub struct Load<'a> {
    pub binary: &'a str,
    /// Of libpq, `key=value`.
    pub postgres: &'a str,
    /// `HOST:PORT`.
    pub target: &'a str,
    pub rows: u64,
}

/// What it took.
pub struct Loaded {
    /// From the start of the process to its end.
    pub took: Duration,
    /// Of the process, user and system.
    pub cpu: Duration,
    /// The most that was ever resident, in kB.
    pub peak_kb: u64,
}

impl Loaded {
    /// Rows per second.
    pub fn rate(&self, rows: u64) -> f64 {
        rows as f64 / self.took.as_secs_f64()
    }
}

impl Load<'_> {
    /// Loads into an index of a new name and leaves nothing behind.
    pub fn run(&self) -> Loaded {
        static NUMBER: AtomicU32 = AtomicU32::new(1);
        let name = format!("bench{}", NUMBER.fetch_add(1, Ordering::Relaxed));
        let config = serde_json::json!({
            "source": {"url": self.postgres, "slot": name, "publication": name},
            "target": {"url": format!("http://{}", self.target)},
            "indexes": [{"name": name, "table": "public.item"}],
            // The sink has nothing to compare with, and the ceiling does not read anything back.
            "pipeline": {"verify_copies": false},
        });
        let file = std::env::temp_dir().join(format!("wal2es-{}-{name}.yml", std::process::id()));
        std::fs::write(&file, config.to_string()).unwrap();
        let began = Instant::now();
        let mut child = Command::new(self.binary)
            .args(["--config", file.to_str().unwrap(), "run", "--setup", "--until-caught-up"])
            .stdout(Stdio::null())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let (cpu, peak_kb) = watch(&mut child);
        let took = began.elapsed();
        let ended = child.wait_with_output().unwrap();
        std::fs::remove_file(&file).unwrap();
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        table::forget(self.postgres, &name);
        http::request(self.target, "DELETE", &format!("/{name}-g1"), "");
        Loaded { took, cpu, peak_kb }
    }
}

/// Looks on until the process has ended; it has not been waited for then, so what it took can still be asked.
fn watch(child: &mut Child) -> (Duration, u64) {
    let mut peak_kb = 0;
    loop {
        let read = |what| std::fs::read_to_string(format!("/proc/{}/{what}", child.id())).unwrap();
        let (status, stat) = (read("status"), read("stat"));
        let most = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        if let Some(most) = most {
            peak_kb = most.trim().trim_end_matches(" kB").parse().unwrap();
        }
        // State, and user and system time in hundredths of a second, counted from behind the name in parentheses.
        let fields: Vec<&str> = stat.rsplit(')').next().unwrap().split_whitespace().collect();
        if fields[0] == "Z" {
            let ticks: u64 =
                fields[11].parse::<u64>().unwrap() + fields[12].parse::<u64>().unwrap();
            return (Duration::from_millis(ticks * 10), peak_kb);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}
