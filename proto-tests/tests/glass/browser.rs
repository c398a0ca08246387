//! Debian's Chromium without a window, driven over the DevTools protocol.
//!
//! By its pipe: messages of JSON, each with a NUL at its end, which the browser reads from descriptor 3 and
//! writes to descriptor 4. So it needs no port, and can be in any network namespace.

use std::{
    collections::VecDeque,
    io::{BufRead as _, BufReader, Write as _},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc,
    thread,
    time::{Duration, Instant},
};

use anyhow::{Context as _, Result, ensure};
use base64::{Engine as _, engine::general_purpose::STANDARD};
use redstart_proto_tests::lab::{netns::Netns, wait};
use serde_json::{Value, json};
use tempfile::TempDir;

/// How long a command may take on a machine that is busy.
const PATIENCE: Duration = Duration::from_secs(60);

/// Messages of the browser that wait to be read. More than it sends between two commands.
const MESSAGES: usize = 1 << 14;

/// No sandbox, for that needs somebody else than root; nothing that calls home.
const FLAGS: [&str; 10] = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-component-update",
    "--no-first-run",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
    EMPTY,
];

/// A page without anything.
pub(crate) const EMPTY: &str = "about:blank";

/// A browser with one page. Gone when dropped.
pub(crate) struct Browser {
    child: Child,
    input: ChildStdin,
    messages: mpsc::Receiver<Value>,
    /// Of the page.
    session: Option<String>,
    commands: u64,
    events: VecDeque<Value>,
    _profile: TempDir,
}

impl Browser {
    /// Starts it in a network namespace.
    pub(crate) fn start(netns: &Netns) -> Result<Self> {
        let profile = tempfile::tempdir()?;
        let mut command = netns.command("sh");
        let script = "exec chromium \"$@\" 3<&0 4>&1 </dev/null >/dev/null 2>&1";
        command.args(["-c", script, "chromium"]).args(FLAGS);
        command.arg(format!("--user-data-dir={}", profile.path().display()));
        command.env("HOME", profile.path());
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .context("cannot start chromium")?;
        let input = child.stdin.take().context("no pipe to chromium")?;
        let output = child.stdout.take().context("no pipe from chromium")?;
        let (tell, messages) = mpsc::sync_channel(MESSAGES);
        thread::spawn(move || {
            for message in BufReader::new(output).split(0).map_while(Result::ok) {
                let message = serde_json::from_slice(&message);
                if message.is_ok_and(|message| tell.send(message).is_err()) {
                    return;
                }
            }
        });
        let mut browser = Self {
            child,
            input,
            messages,
            session: None,
            commands: 0,
            events: VecDeque::new(),
            _profile: profile,
        };
        browser.attach()?;
        Ok(browser)
    }

    fn attach(&mut self) -> Result<()> {
        let targets = self.call("Target.getTargets", &json!({}))?;
        let targets = targets["targetInfos"].as_array().context("no targets")?;
        let page = targets.iter().find(|target| target["type"] == "page");
        let page = page.context("no page")?["targetId"].clone();
        let attached = json!({"targetId": page, "flatten": true});
        let attached = self.call("Target.attachToTarget", &attached)?;
        self.session = attached["sessionId"].as_str().map(str::to_owned);
        for domain in ["Page", "Runtime", "Log", "Network"] {
            self.call(&format!("{domain}.enable"), &json!({}))?;
        }
        Ok(())
    }

    /// A command of the protocol, and its result.
    pub(crate) fn call(&mut self, method: &str, parameters: &Value) -> Result<Value> {
        self.commands += 1;
        let id = self.commands;
        let mut command = json!({"id": id, "method": method, "params": parameters});
        if let Some(session) = &self.session {
            command["sessionId"] = json!(session);
        }
        let mut message = serde_json::to_vec(&command)?;
        message.push(0);
        self.input.write_all(&message)?;
        let end = Instant::now() + PATIENCE;
        loop {
            let left = end.saturating_duration_since(Instant::now());
            let message = self.messages.recv_timeout(left);
            let message = message.with_context(|| format!("{method}: no answer"))?;
            if message["id"] != id {
                self.events.push_back(message);
                continue;
            }
            ensure!(message["error"].is_null(), "{method}: {}", message["error"]);
            return Ok(message["result"].clone());
        }
    }

    /// The value of an expression in the page.
    pub(crate) fn value(&mut self, expression: &str) -> Result<Value> {
        let asked = json!({"expression": expression, "returnByValue": true, "awaitPromise": true});
        let answer = self.call("Runtime.evaluate", &asked)?;
        ensure!(
            answer["exceptionDetails"].is_null(),
            "{expression}: {}",
            answer["exceptionDetails"]
        );
        Ok(answer["result"]["value"].clone())
    }

    /// The same, as text.
    pub(crate) fn text(&mut self, expression: &str) -> Result<String> {
        let value = self.value(expression)?;
        let text = value.as_str();
        Ok(text
            .with_context(|| format!("{expression} is {value}"))?
            .to_owned())
    }

    /// Waits until an expression holds.
    pub(crate) fn until(&mut self, bound: Duration, expression: &str) -> Result<()> {
        let waited = wait::until(expression, bound, || {
            let value = self.value(expression)?;
            ensure!(value == true, "it is {value}");
            Ok(())
        });
        waited.map(drop).with_context(|| {
            let shown = self.text("document.body.innerText");
            format!("shown is: {}", shown.unwrap_or_default())
        })
    }

    /// Goes to an address.
    pub(crate) fn open(&mut self, url: &str) -> Result<()> {
        self.call("Page.navigate", &json!({"url": url})).map(drop)
    }

    /// Gives the window this size.
    pub(crate) fn resize(&mut self, width: u32, height: u32) -> Result<()> {
        let size =
            json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": false});
        self.call("Emulation.setDeviceMetricsOverride", &size)
            .map(drop)
    }

    /// What the system is said to prefer: `light` or `dark`.
    pub(crate) fn prefer(&mut self, scheme: &str) -> Result<()> {
        let features = json!([{"name": "prefers-color-scheme", "value": scheme}]);
        self.call("Emulation.setEmulatedMedia", &json!({"features": features}))
            .map(drop)
    }

    /// Presses a key and lets it go: a character, or a key by its name.
    pub(crate) fn press(&mut self, key: &str) -> Result<()> {
        self.press_with(key, 0)
    }

    /// Goes one stop back.
    pub(crate) fn press_shift_tab(&mut self) -> Result<()> {
        const SHIFT: u32 = 8;
        self.press_with("Tab", SHIFT)
    }

    fn press_with(&mut self, key: &str, modifiers: u32) -> Result<()> {
        let code = match key {
            "Backspace" => 8,
            "Tab" => 9,
            "Enter" => 13,
            "Escape" => 27,
            "End" => 35,
            "Home" => 36,
            "ArrowLeft" => 37,
            "ArrowUp" => 38,
            "ArrowRight" => 39,
            "ArrowDown" => 40,
            _ => 0,
        };
        let mut event = json!({
            "type": "keyDown", "key": key, "windowsVirtualKeyCode": code, "modifiers": modifiers,
        });
        if key.chars().count() == 1 {
            event["text"] = json!(key);
        } else if key == "Enter" {
            event["text"] = json!("\r");
        }
        self.call("Input.dispatchKeyEvent", &event)?;
        event["type"] = json!("keyUp");
        if let Some(event) = event.as_object_mut() {
            event.remove("text");
        }
        self.call("Input.dispatchKeyEvent", &event).map(drop)
    }

    /// Types text where the cursor is.
    pub(crate) fn type_text(&mut self, text: &str) -> Result<()> {
        text.chars().try_for_each(|c| self.press(&c.to_string()))
    }

    /// What the window shows, as WebP.
    pub(crate) fn screenshot(&mut self) -> Result<Vec<u8>> {
        let shot = self.call(
            "Page.captureScreenshot",
            &json!({"format": "webp", "quality": 80}),
        )?;
        let picture = shot["data"].as_str().context("no picture")?;
        Ok(STANDARD.decode(picture)?)
    }

    /// What the browser complained of since it was asked last: errors and warnings of scripts, of the
    /// policy, of loading.
    pub(crate) fn complaints(&mut self) -> Result<Vec<String>> {
        let events = self.take_events(&["Runtime.", "Log."])?;
        let complaint = |event: &Value| {
            let said = &event["params"];
            let is_bad = |level: &Value| level == "error" || level == "warning";
            match event["method"].as_str()? {
                "Runtime.exceptionThrown" => Some(said["exceptionDetails"].to_string()),
                "Runtime.consoleAPICalled" if is_bad(&said["type"]) => {
                    Some(said["args"].to_string())
                }
                "Log.entryAdded" if is_bad(&said["entry"]["level"]) => {
                    Some(said["entry"].to_string())
                }
                _ => None,
            }
        };
        Ok(events.iter().filter_map(complaint).collect())
    }

    /// The addresses that were asked for something since the last time. The empty page, with which each
    /// window begins, is nowhere.
    pub(crate) fn requests(&mut self) -> Result<Vec<String>> {
        let events = self.take_events(&["Network."])?;
        let url = |event: &Value| {
            let sent = event["method"] == "Network.requestWillBeSent";
            let url = event["params"]["request"]["url"].as_str();
            url.filter(|url| sent && *url != EMPTY).map(str::to_owned)
        };
        Ok(events.iter().filter_map(url).collect())
    }

    /// What has happened in some domains until now.
    fn take_events(&mut self, domains: &[&str]) -> Result<Vec<Value>> {
        // What came before the answer to this is there when the answer is.
        self.value("0")?;
        let is_of = |event: &Value| {
            let method = event["method"].as_str().unwrap_or_default();
            domains.iter().any(|domain| method.starts_with(domain))
        };
        let (taken, left) = self.events.drain(..).partition(is_of);
        self.events = left;
        Ok(Vec::from(taken))
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        self.session = None;
        // It takes its own processes along, if it is asked.
        let _ = self.call("Browser.close", &json!({}));
        let ended = wait::until("chromium ends", Duration::from_secs(5), || {
            self.child.try_wait()?.context("still running")
        });
        if ended.is_err() {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }
}
