//! `tough ROOT METADATA TARGETS NAME…`: reads these targets with the crate tough; prints the SHA-256 and the name of each.

use std::error::Error;

use futures::TryStreamExt;
use sha2::{Digest, Sha256};
use tough::{RepositoryLoader, TargetName};
use url::Url;

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [root, metadata, targets, names @ ..] = arguments.as_slice() else { return Err("ROOT METADATA TARGETS NAME…".into()) };
    let folder = |path: &String| Url::from_directory_path(path).map_err(|()| "not an absolute path");
    let pinned = std::fs::read(root)?;
    let repository = RepositoryLoader::new(&pinned, folder(metadata)?, folder(targets)?).load().await?;
    for name in names {
        let stream = repository.read_target(&TargetName::new(name)?).await?.ok_or("not a target of this repository")?;
        let digest = stream.try_fold(Sha256::new(), |digest, chunk| async move { Ok(digest.chain_update(&chunk)) }).await?;
        println!("{:x} {name}", digest.finalize());
    }
    Ok(())
}
