// Imported as text, to be sent to browsers.
declare const text: string;
export default text;
