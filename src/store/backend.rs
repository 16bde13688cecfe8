//! The innermost store for an address, made so that the layers above see every request: its own repetitions are off.

use super::clock::{Listening, StoreClock};
use super::layers::ordered::Ordered;
use super::settings::{Credentials, StoreSettings};
use super::trouble;
use super::uri::{RepoUri, Scheme};
use crate::error::{Error, Result};
use crate::host::Clock;
use aws_config::Region;
use aws_config::default_provider::credentials::DefaultCredentialsChain;
use lance_io::object_store::providers::aws::AwsCredentialAdapter;
use object_store::aws::{AmazonS3Builder, AwsCredential, AwsCredentialProvider, S3CopyIfNotExists};
use object_store::local::LocalFileSystem;
use object_store::memory::InMemory;
use object_store::{ClientOptions, ObjectStore, RetryConfig, StaticCredentialProvider};
use std::sync::Arc;
use std::time::Duration;

/// Fetch new credentials this long before the old ones expire.
const CREDENTIALS_REFRESH: Duration = Duration::from_secs(60);

/// The innermost store, and the clock whose stamps it gives.
pub(super) struct Backend {
    pub(super) store: Arc<dyn ObjectStore>,
    pub(super) clock: Arc<StoreClock>,
}

/// Makes the innermost store. On S3 without endpoint and region this asks for the bucket's region (one request).
pub(super) async fn connect(
    uri: &RepoUri,
    settings: &StoreSettings,
    time: &Arc<dyn Clock>,
) -> Result<Backend> {
    let ours = || StoreClock::of_host(time.clone());
    match uri.scheme() {
        Scheme::Memory => Ok(Backend { store: Arc::new(InMemory::new()), clock: ours() }),
        Scheme::Local => {
            let disk = LocalFileSystem::new().with_fsync(settings.flush);
            Ok(Backend { store: Arc::new(Ordered::new(Arc::new(disk))), clock: ours() })
        }
        Scheme::S3 => s3(uri, settings, time).await,
        Scheme::Gs | Scheme::Az => other_cloud(uri, settings, time),
    }
}

async fn s3(uri: &RepoUri, settings: &StoreSettings, time: &Arc<dyn Clock>) -> Result<Backend> {
    let bucket = uri.bucket_name();
    if bucket.ends_with("--x-s3") {
        // They list out of order, so Lance would trust its version hint and our listings could not be continued.
        return Err(Error::invalid(format!("{uri}: directory buckets (S3 Express) are not supported")));
    }
    let endpoint = settings.checked_endpoint()?;
    let region = region(uri, settings, endpoint.is_some()).await?;
    let clock = StoreClock::of_answers(time.clone());
    let mut builder = AmazonS3Builder::new()
        .with_bucket_name(bucket)
        .with_region(&region)
        .with_credentials(credentials(settings, region).await)
        .with_client_options(client_options(settings))
        .with_retry(no_repetitions())
        .with_copy_if_not_exists(S3CopyIfNotExists::Multipart)
        .with_http_connector(Listening(clock.clone()));
    let path_style = settings.force_path_style.unwrap_or(true);
    builder = builder.with_virtual_hosted_style_request(!path_style);
    if let Some(endpoint) = endpoint {
        builder = builder
            .with_allow_http(endpoint.scheme() == "http")
            .with_endpoint(base_url(&endpoint, bucket, path_style));
    }
    let store = builder.build().map_err(|cause| Error::invalid(format!("S3 settings for {uri}: {cause}")))?;
    Ok(Backend { store: Arc::new(store), clock })
}

/// With virtual-hosted addresses the client wants the bucket as part of the host.
fn base_url(endpoint: &url::Url, bucket: &str, path_style: bool) -> String {
    let text = endpoint.as_str().trim_end_matches('/');
    match path_style {
        true => text.to_owned(),
        false => text.replacen("://", &format!("://{bucket}."), 1),
    }
}

async fn region(uri: &RepoUri, settings: &StoreSettings, has_endpoint: bool) -> Result<String> {
    if let Some(region) = &settings.region {
        return Ok(region.clone());
    }
    if has_endpoint {
        return Ok("us-east-1".to_owned());
    }
    object_store::aws::resolve_bucket_region(uri.bucket_name(), &client_options(settings))
        .await
        .map_err(|cause| trouble::explain(uri, Duration::ZERO, "find the region", &cause))
}

/// Fixed credentials, or the usual AWS chain, which renews what expires. It is told the region: by itself it would ask the
/// instance's metadata for one, wait for that where there is none, and warn of it.
async fn credentials(settings: &StoreSettings, region: String) -> AwsCredentialProvider {
    if let Some(Credentials { key_id, secret, session_token }) = settings.credentials.clone() {
        let key = AwsCredential { key_id, secret_key: secret, token: session_token };
        return Arc::new(StaticCredentialProvider::new(key));
    }
    let chain = DefaultCredentialsChain::builder().region(Region::new(region)).build().await;
    Arc::new(AwsCredentialAdapter::new(Arc::new(chain), CREDENTIALS_REFRESH))
}

fn client_options(settings: &StoreSettings) -> ClientOptions {
    ClientOptions::new().with_timeout(settings.request_timeout).with_connect_timeout(settings.connect_timeout)
}

/// A repetition inside the client would hide that an earlier attempt had committed.
fn no_repetitions() -> RetryConfig {
    RetryConfig { max_retries: 0, retry_timeout: Duration::ZERO, ..RetryConfig::default() }
}

#[cfg(not(any(feature = "gcp", feature = "azure")))]
fn other_cloud(uri: &RepoUri, _: &StoreSettings, _: &Arc<dyn Clock>) -> Result<Backend> {
    Err(Error::invalid(format!("{uri} needs a build with the cargo feature gcp or azure")))
}

/// Google and Azure take account and credentials from their usual environment variables.
#[cfg(any(feature = "gcp", feature = "azure"))]
fn other_cloud(uri: &RepoUri, settings: &StoreSettings, time: &Arc<dyn Clock>) -> Result<Backend> {
    let clock = StoreClock::of_answers(time.clone());
    let bad = |cause: object_store::Error| Error::invalid(format!("settings for {uri}: {cause}"));
    let store: Arc<dyn ObjectStore> = match uri.scheme() {
        #[cfg(feature = "gcp")]
        Scheme::Gs => Arc::new(
            object_store::gcp::GoogleCloudStorageBuilder::from_env()
                .with_bucket_name(uri.bucket_name())
                .with_client_options(client_options(settings))
                .with_retry(no_repetitions())
                .with_http_connector(Listening(clock.clone()))
                .build()
                .map_err(bad)?,
        ),
        #[cfg(feature = "azure")]
        Scheme::Az => Arc::new(
            object_store::azure::MicrosoftAzureBuilder::from_env()
                .with_container_name(uri.bucket_name())
                .with_client_options(client_options(settings))
                .with_retry(no_repetitions())
                .with_http_connector(Listening(clock.clone()))
                .build()
                .map_err(bad)?,
        ),
        _ => return Err(Error::invalid(format!("{uri} needs a build with the cargo feature gcp or azure"))),
    };
    Ok(Backend { store, clock })
}
