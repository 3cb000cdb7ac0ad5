// Links to sounds get a player.
for (const link of document.querySelectorAll('article a[href$=".mp3"]')) {
  const player = Object.assign(document.createElement("audio"), { src: link.href, controls: true });
  player.preload = "none";
  link.after(document.createElement("br"), player);
}
