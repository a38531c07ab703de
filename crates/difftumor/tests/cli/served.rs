//! The program as a server, and requests to it.
use crate::phantom::command;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, ExitStatus, Stdio};

/// Killed (SIGKILL) when it is dropped.
pub struct Served {
    process: Child,
    address: String,
}

impl Served {
    /// Starts it; also gives what it says up to how it is stopped.
    pub fn start(arguments: &[&str]) -> (Self, Vec<String>) {
        let mut process = command(arguments).stdout(Stdio::piped()).spawn().unwrap();
        let mut lines = vec![];
        for line in BufReader::new(process.stdout.take().unwrap()).lines().map_while(Result::ok) {
            lines.push(line);
            if lines.last().is_some_and(|line| line.contains("stop with Ctrl-C")) {
                break;
            }
        }
        let url = lines.first().and_then(|line| line.split("http://").nth(1)).expect("an address");
        let address = url.split(['/', ' ']).next().unwrap().to_string();
        (Self { process, address }, lines)
    }

    /// The path of one of its addresses.
    pub fn path(&self, url: &str) -> String {
        url.split_once(&self.address).expect("an address of this server").1.into()
    }

    /// Status and body.
    pub fn ask(&self, method: &str, path: &str, body: &str) -> (u16, String) {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        write!(
            stream,
            "{method} {path} HTTP/1.1\r\nHost: {}\r\nConnection: close\r\nX-Difftumor-Study: 1\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
            self.address,
            body.len()
        )
        .unwrap();
        let mut reply = vec![];
        stream.read_to_end(&mut reply).unwrap();
        let reply = String::from_utf8_lossy(&reply);
        let (head, body) = reply.split_once("\r\n\r\n").unwrap();
        (head.split(' ').nth(1).unwrap().parse().unwrap(), body.to_string())
    }

    /// Tells it to stop, and waits until it has.
    pub fn terminate(mut self) -> ExitStatus {
        let pid = self.process.id().to_string();
        assert!(std::process::Command::new("kill").args(["-TERM", &pid]).status().unwrap().success());
        self.process.wait().unwrap()
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        // It may have ended.
        let _ = self.process.kill();
        self.process.wait().unwrap();
    }
}
