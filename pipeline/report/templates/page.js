"use strict";
(function () {
  const one = (selector, root) => (root || document).querySelector(selector);
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const said = document.getElementById("said");
  const svg = one("svg.picture");
  let chosen = "";

  function say(text) { if (said) said.textContent = text; }

  function clear() {
    chosen = "";
    all(".sel").forEach((node) => node.classList.remove("sel"));
    all("[aria-pressed=true]").forEach((node) => node.setAttribute("aria-pressed", "false"));
  }

  function show(node) { if (node) node.scrollIntoView({ block: "center" }); }

  function open(node) {
    for (let up = node; up; up = up.parentElement) if (up.tagName === "DETAILS") up.open = true;
  }

  function pick(key) {
    clear();
    chosen = key;
    const card = document.getElementById("v-" + key);
    if (!card) return;
    open(card);
    card.classList.add("sel");
    const button = one("button.pick", card);
    if (button) button.setAttribute("aria-pressed", "true");
    const words = all('[data-v~="' + key + '"]');
    words.forEach((node) => node.classList.add("sel"));
    say(card.dataset.name + "：" + (words.length ? "已标出 " + words.length + " 处" : "没有可标出的话"));
  }

  function cursor(second) {
    const line = document.getElementById("cursor");
    if (line && svg) {
      const x = Number(svg.dataset.left) + second * Number(svg.dataset.perS);
      line.setAttribute("x1", x);
      line.setAttribute("x2", x);
      line.style.setProperty("visibility", "visible");
    }
    all(".turn.here").forEach((node) => node.classList.remove("here"));
    const near = all(".turn").filter((node) => Number(node.dataset.start) <= second + 0.05);
    const within = near.filter((node) => Number(node.dataset.end) >= second - 0.05);
    const turn = within.length ? within[within.length - 1] : near[near.length - 1];
    if (turn) turn.classList.add("here");
    return turn;
  }

  function play(second, node) {
    const own = node ? one("audio", node.closest("li") || node) : null;
    const clip = own || all("audio").find((each) =>
      Number(each.dataset.start) <= second && second <= Number(each.dataset.end));
    if (!clip) return;
    clip.currentTime = Math.max(second - Number(clip.dataset.start), 0);
    const started = clip.play();
    if (started) started.catch(() => say("浏览器没有播放，请点按播放键"));
  }

  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-pick],[data-go],a.ev");
    if (!target) return;
    event.preventDefault();
    if (target.matches("a.ev")) {
      const keys = target.dataset.v.split(" ");
      const key = keys[(keys.indexOf(chosen) + 1) % keys.length];
      pick(key);
      show(document.getElementById("v-" + key));
      cursor(Number(target.dataset.at));
      if (keys.length > 1) say("这几个字涉及 " + keys.length + " 项判定，再点看下一项");
      return;
    }
    if (target.dataset.pick) {
      pick(target.dataset.pick);
      if (target.dataset.card) show(document.getElementById("v-" + target.dataset.pick));
    }
    if (target.dataset.go) {
      const second = Number(target.dataset.go);
      const turn = cursor(second);
      const words = target.dataset.pick && turn ? one('a.ev[data-v~="' + target.dataset.pick + '"]', turn) : null;
      if (!target.dataset.card) show(words || turn);
      play(second, target);
    } else if (target.dataset.pick && !target.dataset.card) {
      show(one('a.ev[data-v~="' + target.dataset.pick + '"],.turn[data-v~="' + target.dataset.pick + '"]'));
    }
  });

  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") { clear(); say("已取消标记"); }
  });
  window.addEventListener("beforeprint", () => all("details").forEach((node) => { node.open = true; }));
})();
