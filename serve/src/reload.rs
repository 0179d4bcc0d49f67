//! New versions of models: at SIGHUP, and where a file has changed.

use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::sleep;

use crate::app::App;
use crate::options::Engines;
use crate::served::Reloaded;
use crate::signals::Hangup;

/// Looks at the files again and again.
pub(crate) async fn watch(
    app: Arc<App>,
    (mut hangup, every): (Hangup, Duration),
    engines: Engines,
    note: fn(&str),
) {
    let engines = Arc::new(engines);
    loop {
        let in_any_case = tokio::select! {
            () = hangup.came() => true,
            () = sleep(every) => false,
        };
        let (app, engines) = (Arc::clone(&app), Arc::clone(&engines));
        // Loading takes a while, and reads files.
        let all = move || {
            for model in &app.models {
                let place = format!("{} ({})", model.name, model.path().display());
                match model.reload(in_any_case, &engines) {
                    Reloaded::Unchanged => {}
                    Reloaded::New(number, is_other) => {
                        let other =
                            if is_other { "; its columns or answers are others" } else { "" };
                        note(&format!("{place}: version {number} answers from now on{other}"));
                    }
                    Reloaded::Failed(error) => {
                        let stays = model.current().number;
                        note(&format!("{place}: version {stays} stays: {error}"));
                    }
                }
            }
        };
        // Only a panic ends it early, and the next look is another try.
        let _ = spawn_blocking(all).await;
    }
}
