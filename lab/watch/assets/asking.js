// What a watcher's browser does: it asks for the parts that have changed, one question at a time, and tells a silence.
//
// Callbacks of Dash are not used for that. They drop an answer when the next question comes before it, so that a page
// behind a slow line stays empty, and they keep a history of every question and error for as long as a tab is open.
(() => {
  const PATIENCE = 20000;  // ms for one question
  const ASLEEP = 120000;  // ms without a turn, longer than a browser lets a hidden tab wait: the computer slept
  let seen = {}, title = "", asking = false, lastAnswer = null, unanswered = null, trouble = "", awake = Date.now();

  const clock = (moment) => new Date(moment).toISOString().slice(0, 19).replace("T", " ") + " UTC";
  const write = (id, text) => {
    const element = document.getElementById(id);
    if (element.textContent !== text) { element.textContent = text; }
  };

  function forgetSleep() {
    const now = Date.now();
    if (now - awake > ASLEEP && unanswered !== null) { unanswered = now; }
    awake = now;
  }

  async function ask(silence) {
    const answer = await fetch("parts?" + new URLSearchParams(seen), {signal: AbortSignal.timeout(PATIENCE)});
    if (answer.status === 401) { throw "It asks for its token: open the address that it printed."; }
    if (!answer.ok) { throw `It answers with error ${answer.status}.`; }
    const page = await answer.json();
    for (const [part, children] of Object.entries(page.parts)) { dash_clientside.set_props(part, {children}); }
    seen = page.seen;
    title = page.title;
    forgetSleep();
    const now = Date.now();
    if (now - unanswered > silence) {
      const silent = `From ${clock(unanswered)} to ${clock(now)} lab watch did not answer.`;
      write("gap", `${silent} What is shown is up to date again.`);
    }
    lastAnswer = now;
    unanswered = null;
  }

  function tell(silence) {
    const silent = unanswered === null ? 0 : Date.now() - unanswered;
    const lost = silent > silence;
    const old = lastAnswer === null ? "" : ` What is shown below is from ${clock(lastAnswer)}.`;
    write("lost", lost ? `No answer from lab watch for ${Math.round(silent / 1000)} s. ${trouble}${old}` : "");
    if (lost) { write("gap", ""); }
    document.title = lost ? "no contact - lab watch" : title;
  }

  async function turn(silence) {
    forgetSleep();
    tell(silence);
    if (asking) { return; }
    asking = true;
    unanswered ??= Date.now();
    try {
      await ask(silence);
      trouble = "";
    } catch (error) {
      trouble = typeof error === "string" ? error : "";
    }
    asking = false;
    tell(silence);
  }

  const waiting = setInterval(() => {
    const page = document.querySelector(".page");
    if (!page || !window.dash_clientside) { return; }
    clearInterval(waiting);
    setInterval(turn, page.dataset.asking, Number(page.dataset.silence));
  }, 100);
})();
