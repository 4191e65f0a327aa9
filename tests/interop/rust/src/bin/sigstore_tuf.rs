//! `sigstore_tuf ROOT METADATA TARGETS NAME…`: as `tough`, with the crate sigstore-tuf.

use std::error::Error;
use std::path::PathBuf;

use sha2::{Digest, Sha256};
use sigstore_tuf::transport::FetchFuture;
use sigstore_tuf::{Repository, Updater};

/// A repository in two folders.
struct Folders {
    metadata: PathBuf,
    targets: PathBuf,
}

fn read(path: PathBuf, most: u64) -> sigstore_tuf::Result<Option<Vec<u8>>> {
    match std::fs::read(&path) {
        Ok(bytes) if bytes.len() as u64 <= most => Ok(Some(bytes)),
        Ok(_) => Err(sigstore_tuf::Error::transport("longer than allowed")),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(sigstore_tuf::Error::transport_with_source("reading", error)),
    }
}

impl Repository for Folders {
    fn fetch_metadata<'a>(&'a self, name: &'a str, most: u64) -> FetchFuture<'a> {
        Box::pin(async move { read(self.metadata.join(name), most) })
    }

    fn fetch_target<'a>(&'a self, path: &'a str, most: u64) -> FetchFuture<'a> {
        Box::pin(async move { read(self.targets.join(path), most) })
    }
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, metadata, targets, names @ ..] = arguments.as_slice() else { return Err("ROOT METADATA TARGETS NAME…".into()) };
    let folders = Folders { metadata: metadata.into(), targets: targets.into() };
    let (pinned, now) = (std::fs::read(root)?, jiff::Timestamp::now());
    let mut updater = Updater::new(folders, &pinned)?;
    updater.refresh(now).await?;
    for name in names {
        let bytes = updater.get_target(name, now).await?;
        println!("{:x} {name}", Sha256::digest(&bytes));
    }
    Ok(())
}
