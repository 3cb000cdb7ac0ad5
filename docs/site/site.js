// Links to sounds get players, below the paragraph they stand in.
for (const link of document.querySelectorAll('article a[href$=".mp3"]')) {
  const player = Object.assign(document.createElement("audio"), { src: link.href, controls: true });
  player.preload = "none";
  player.ariaLabel = link.textContent;
  link.closest("p").append(player);
}
