//! People are told by every channel, and stop being told: the real agent, a register that goes beyond
//! its limit in pymodbus, and receivers that are not ours (aiosmtpd, mosquitto and paho, a modem whose
//! messages smspdudecoder reads, pocketsphinx that listens to the speaker, coils of pymodbus). The hub
//! is there in `outside` only, which is about what it tells people itself.

mod answers;
mod channels;
mod crash;
mod faults;
mod outside;
mod scene;
mod speech;
