// One sound plays at a time; the next one continues at the position of the last one.
const figures = [...document.querySelectorAll(".sound")];
const sounds = figures.map((figure) => figure.querySelector("audio"));
let last = null;

figures.forEach((figure, number) => {
  const sound = sounds[number];
  const picture = figure.querySelector(".picture");
  sound.addEventListener("play", () => {
    if (last && last !== sound) {
      if (!last.ended) sound.currentTime = last.currentTime;
      last.pause();
    }
    last = sound;
    figure.classList.add("playing");
  });
  for (const event of ["pause", "ended"]) {
    sound.addEventListener(event, () => figure.classList.remove("playing"));
  }
  sound.addEventListener("timeupdate", () => {
    picture.style.setProperty("--place", sound.currentTime / sound.duration);
    picture.style.setProperty("--heard", 0.8);
  });
  picture.addEventListener("click", (click) => {
    const place = (click.offsetX / picture.clientWidth) * sound.duration;
    sound.play().then(() => { sound.currentTime = place; });
  });
});
