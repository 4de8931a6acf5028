//! Detectors: from committed readings to findings. Pure: readings in, findings out; time is the
//! time of the readings, never a clock.
