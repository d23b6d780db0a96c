//! `meshlab ui`, and `meshlab run --ui`: the live page.

use std::{
    collections::BTreeMap,
    fs,
    io::IsTerminal,
    net::{Ipv4Addr, SocketAddr, TcpListener},
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use anyhow::{Context, Result};
use clap::Args;
use meshlab_engine::{
    Engine,
    results::{file, read_run},
};
use meshlab_model::{ExitCode, Manifest};
use meshlab_script::{Answer, Asks, ConsoleLine, Overrides, Said, Script, fault_forms};
use meshlab_ui::{Act, Ceilings, House, Live, Server, Steering};
use tokio::sync::mpsc;

use crate::{check, report::locate};

#[derive(Debug, Args)]
pub(crate) struct UiArguments {
    /// The run to show, such as results/chaos-smoke/latest, or its name under results/; a list of
    /// all runs if absent
    #[arg(value_name = "RUN")]
    run: Option<PathBuf>,
    /// Where it is served, on loopback only: 127.0.0.1:9000; a free port if absent
    #[arg(long, value_name = "ADDRESS", value_parser = loopback)]
    addr: Option<SocketAddr>,
    /// Do not open a browser
    #[arg(long)]
    no_open: bool,
    /// Folder whose results/ is listed
    #[arg(long, value_name = "DIR", default_value = ".")]
    output: PathBuf,
}

/// The page of a run that goes on.
pub(crate) struct Page {
    server: Server,
    live: Arc<Live>,
    steering: Arc<Steering>,
}

pub(crate) fn ui(arguments: &UiArguments) -> Result<ExitCode> {
    let one = match &arguments.run {
        None => None,
        Some(run) => {
            let Some(folder) = locate(run) else { return Ok(ExitCode::Usage) };
            let record = read_run(&folder).context("failed to read the run")?;
            let parts = |folder: &Path| {
                let leaf = folder.file_name()?.to_str()?;
                Some(format!("{}/{leaf}", folder.parent()?.file_name()?.to_str()?))
            };
            Some((parts(&folder).unwrap_or(record.manifest.run), folder))
        }
    };
    // The runs beside the one that is shown; of one that lies elsewhere, those of this folder.
    let beside = one.as_ref().and_then(|(_, folder)| folder.parent()?.parent());
    let beside = beside.filter(|folder| folder.ends_with("results")).map(Path::to_owned);
    let results = beside.unwrap_or_else(|| arguments.output.join("results"));
    let name = one.as_ref().map(|(name, _)| name.clone());
    let listener = listen(arguments.addr.unwrap_or_else(anywhere))?;
    let server = Server::start(listener, house(results, one, None, Arc::default()))
        .context("failed to serve the page")?;
    let link = match &name {
        Some(name) => server.link_to(name),
        None => server.link().to_owned(),
    };
    println!("page at {link}\nCtrl-C ends it");
    if !arguments.no_open {
        open_browser(&link);
    }
    server.wait();
    Ok(ExitCode::Passed)
}

/// Opens the page of a run that is about to begin.
pub(crate) fn open(address: SocketAddr, output: &Path) -> Result<Page> {
    let (live, steering) = (Arc::new(Live::default()), Arc::new(Steering::default()));
    let results = std::path::absolute(output)?.join("results");
    let house = house(results, None, Some(Arc::clone(&live)), Arc::clone(&steering));
    let server = Server::start(listen(address)?, house).context("failed to serve the page")?;
    Ok(Page { server, live, steering })
}

impl Page {
    /// Who hears of events.
    pub(crate) fn live(&self) -> Arc<Live> {
        Arc::clone(&self.live)
    }

    /// Begins to tell of the run, and says where.
    pub(crate) fn begin(&self, engine: &Engine) {
        let folder = engine.folder();
        self.live.begin(folder.name.clone(), folder.results.clone(), engine.flusher());
        engine.watched_by(self.live());
        let link = self.server.link_to(&folder.name);
        println!("page at {link}");
        open_browser(&link);
    }

    /// Lets pages act on the mesh of a test, while it runs and where it is kept, until the future
    /// is dropped.
    pub(crate) fn steer(&self, asks: mpsc::Sender<Asks>) -> impl Future<Output = ()> + use<> {
        let mut acts = self.steering.open();
        async move {
            while let Some(act) = acts.recv().await {
                carry_out(act, &asks).await;
            }
        }
    }

    /// Nothing can be done by hand any more.
    pub(crate) fn let_go(&self) {
        self.steering.close();
    }

    /// The run is over: every page hears of it.
    pub(crate) fn finish(self) {
        self.server.finish();
    }
}

/// Runs a line at the prompt, and answers with what it said.
async fn carry_out(act: Act, asks: &mpsc::Sender<Asks>) {
    let (line, mut said) = ConsoleLine::new(act.text, false);
    let (mut done, mut texts) = (false, Vec::new());
    if asks.send(Asks::Line(line)).await.is_err() {
        texts.push("the tests are over, and nothing is kept".to_owned());
    } else {
        while let Some(one) = said.recv().await {
            match one {
                Said::Text(text) => texts.push(text),
                Said::Ended(answer) => {
                    done = answer == Answer::Done;
                    break;
                }
            }
        }
    }
    // The page may be gone.
    let _ = act.answer.send((done, texts.join("\n")));
}

fn house(
    results: PathBuf,
    one: Option<(String, PathBuf)>,
    live: Option<Arc<Live>>,
    steering: Arc<Steering>,
) -> House {
    House {
        results,
        one,
        live,
        steering,
        faults: serde_json::to_value(fault_forms()).unwrap_or_default(),
        ceilings: Box::new(ceilings),
        rehearse: Box::new(rehearse),
    }
}

/// What the scenario of a run allows a node; nothing where it cannot be loaded any more.
fn ceilings(folder: &Path) -> Ceilings {
    let manifest = fs::read(folder.join(file::MANIFEST)).ok();
    let manifest = manifest.and_then(|bytes| serde_json::from_slice::<Manifest>(&bytes).ok());
    let Some(manifest) = manifest else { return Ceilings::new() };
    let params: BTreeMap<String, String> =
        manifest.params.iter().map(|(name, value)| (name.clone(), value.to_string())).collect();
    let load = |path: &Path| {
        let overrides = Overrides { params: params.clone(), ..Overrides::default() };
        Script::load_with(path, overrides).ok()
    };
    // The copy may need files that lie beside the original.
    let script = load(&folder.join(file::SCRIPT)).or_else(|| {
        let same = |script: &Script| {
            fs::read_to_string(folder.join(file::SCRIPT)).is_ok_and(|ran| ran == script.source())
        };
        load(Path::new(&manifest.script_path)).filter(same)
    });
    script.map(|script| script.declaration().ceilings.of.clone()).unwrap_or_default()
}

/// What `meshlab check` says of a scenario.
fn rehearse(source: &str) -> Result<(), String> {
    static FILES: AtomicU64 = AtomicU64::new(0);
    let file = FILES.fetch_add(1, Ordering::Relaxed);
    let name = format!("meshlab-by-hand-{}-{file}.lua", std::process::id());
    let path = std::env::temp_dir().join(name);
    fs::write(&path, source)
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    let rehearsed = check::rehearse(&path, Overrides::default());
    // It is of no use to anybody, and of a few hundred bytes.
    let _ = fs::remove_file(&path);
    match rehearsed.errors.first() {
        Some(error) => Err(error.render(false)),
        None => Ok(()),
    }
}

fn anywhere() -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, 0))
}

fn listen(address: SocketAddr) -> Result<TcpListener> {
    TcpListener::bind(address)
        .with_context(|| format!("failed to listen at {address} for the page"))
}

/// An address for the page: of this host, for this host.
pub(crate) fn loopback(text: &str) -> Result<SocketAddr, String> {
    let address: SocketAddr =
        text.parse().map_err(|_| "write an address and a port: 127.0.0.1:9000".to_owned())?;
    match address.ip().is_loopback() {
        true => Ok(address),
        false => Err("whoever opens the page can hurt nodes, so it is served to this host only: \
            127.0.0.1:9000 or [::1]:9000; from elsewhere, tunnel to it with `ssh -L`"
            .to_owned()),
    }
}

/// Opens the link where somebody sits before a desktop.
fn open_browser(link: &str) {
    let desktop = ["WAYLAND_DISPLAY", "DISPLAY"]
        .iter()
        .any(|name| std::env::var_os(name).is_some_and(|value| !value.is_empty()));
    if desktop && std::io::stdout().is_terminal() {
        // The link is printed: who has no browser opens it elsewhere.
        let _ = Command::new("xdg-open")
            .arg(link)
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_page_is_for_this_host_only() {
        for good in ["127.0.0.1:9000", "127.0.0.1:0", "[::1]:9000"] {
            assert!(loopback(good).is_ok(), "{good}");
        }
        for bad in ["0.0.0.0:9000", "192.168.1.2:9000", "[::]:0"] {
            let error = loopback(bad).expect_err(bad);
            assert!(error.contains("this host only") && error.contains("ssh -L"), "{error}");
        }
        assert!(loopback("9000").is_err() && loopback("localhost:1").is_err());
    }

    #[test]
    fn a_saved_scenario_is_rehearsed() {
        assert_eq!(
            rehearse(
                "test(\"x\", function() local s = mesh { nodes = 2 } \
            expect.formed(s) end)"
            ),
            Ok(())
        );
        let wrong = rehearse("test(\"x\", function() mesh { nods = 2 } end)");
        assert!(wrong.expect_err("a misspelt option").contains("nods"));
    }
}
