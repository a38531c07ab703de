//! An S3-compatible server on loopback, whose objects are files of a folder.
use super::phantom::command;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use s3s::auth::SimpleAuth;
use s3s::service::S3ServiceBuilder;
use s3s_fs::FileSystem;
use std::path::{Path, PathBuf};
use std::process::Output;

const ID: &str = "reader";
const SECRET: &str = "of-tests";

/// A server with one bucket, as long as the test runs.
pub struct Store {
    folder: tempfile::TempDir,
    endpoint: String,
}

impl Store {
    pub fn start() -> Self {
        let folder = tempfile::tempdir().unwrap();
        std::fs::create_dir(folder.path().join("bucket")).unwrap();
        let mut service = S3ServiceBuilder::new(FileSystem::new(folder.path()).unwrap());
        service.set_auth(SimpleAuth::from_single(ID, SECRET));
        let service = service.build();
        let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let endpoint = format!("http://{}", listener.local_addr().unwrap());
        std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build();
            runtime.unwrap().block_on(async {
                listener.set_nonblocking(true).unwrap();
                let listener = tokio::net::TcpListener::from_std(listener).unwrap();
                let http = Builder::new(TokioExecutor::new());
                loop {
                    let (socket, _) = listener.accept().await.unwrap();
                    let connection =
                        http.serve_connection(TokioIo::new(socket), service.clone()).into_owned();
                    tokio::spawn(async move {
                        let _ = connection.await; // a client that has gone is its own matter
                    });
                }
            });
        });
        Self { folder, endpoint }
    }

    /// The bucket's objects.
    pub fn bucket(&self) -> PathBuf {
        self.folder.path().join("bucket")
    }

    /// The file of an object, in a folder that is there.
    pub fn object(&self, key: &str) -> PathBuf {
        let path = self.bucket().join(key);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        path
    }

    /// Runs the program with the store's address and keys in its environment, and others that a test wants.
    pub fn run(&self, arguments: &[&str], environment: &[(&str, &str)]) -> (i32, String, String) {
        let mut command = command(arguments);
        for variable in
            ["AWS_SESSION_TOKEN", "AWS_PROFILE", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"]
        {
            command.env_remove(variable);
        }
        let all = [
            ("AWS_ENDPOINT", self.endpoint.as_str()),
            ("AWS_ALLOW_HTTP", "true"),
            ("AWS_ACCESS_KEY_ID", ID),
            ("AWS_SECRET_ACCESS_KEY", SECRET),
            ("AWS_REGION", "us-east-1"),
        ];
        command.envs(all).envs(environment.iter().copied());
        let Output { status, stdout, stderr } = command.output().unwrap();
        let [stdout, stderr] = [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        (status.code().expect("not killed"), stdout, stderr)
    }

    /// Runs the program, which must succeed; what it prints.
    pub fn succeed(&self, arguments: &[&str]) -> String {
        let (code, stdout, stderr) = self.run(arguments, &[]);
        assert_eq!(code, 0, "{arguments:?}\n{stderr}");
        stdout
    }
}

/// Names of the files below a folder but for the server's own, sorted.
pub fn objects(folder: &Path) -> Vec<String> {
    let files = super::phantom::tree(folder);
    let names = files.keys().map(|path| path.to_str().unwrap().to_string());
    names.filter(|name| !name.ends_with('/') && !name.contains(".upload")).collect()
}
