// What was chosen the last time. Some browsers keep nothing, and say so by an exception.

export function remembered(name) {
  try {
    return localStorage.getItem(name);
  } catch (error) {
    console.debug(error);
    return null;
  }
}

export function remember(name, value) {
  try {
    localStorage.setItem(name, value);
  } catch (error) {
    console.debug(error);
  }
}
