//! Named instances, one per name.

use std::fmt;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

use papaya::Guard;

use crate::breaker::{CircuitBreaker, CircuitBreakerBuilder, CircuitBreakerConfig, Transition};
use crate::error::{ConfigError, RegistryConflict, RegistryError};

type Template = dyn Fn(CircuitBreakerBuilder) -> CircuitBreakerBuilder + Send + Sync;

/// Circuit breakers by name, one for each.
///
/// Look-up and iteration take no lock. Look a breaker up when you set up the calling code and keep the
/// handle; a name on the hot path costs more than the breaker. Registries are independent of each
/// other; clones share one.
///
/// ```
/// use fusewire::{CircuitBreakerConfig, Registry};
///
/// let registry = Registry::new();
/// let breaker = registry.get_or_create("payment_api", CircuitBreakerConfig::default())?;
/// breaker.try_acquire()?.failure();
/// assert_eq!(registry.get("payment_api").expect("it was created").failure_count(), 1);
///
/// let mut other = CircuitBreakerConfig::default();
/// other.failure_threshold = Some(7);
/// let conflict = registry.get_or_create("payment_api", other).unwrap_err();
/// assert_eq!(
///     conflict.to_string(),
///     "'payment_api' exists with failure_threshold: Some(5), \
///      but failure_threshold: Some(7) was asked for"
/// );
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Registry(Arc<Shared>);

struct Shared {
    breakers: papaya::HashMap<Arc<str>, CircuitBreaker>,
    template: Box<Template>,
    /// Taken to add a breaker and to turn the switch, never to look one up.
    disabled: Mutex<bool>,
}

impl Registry {
    /// An empty registry.
    pub fn new() -> Self {
        Self::with_template(|builder| builder)
    }

    /// An empty registry whose breakers are built with what `template` adds to their builder: a clock,
    /// an event queue, a number of stripes.
    pub fn with_template(
        template: impl Fn(CircuitBreakerBuilder) -> CircuitBreakerBuilder + Send + Sync + 'static,
    ) -> Self {
        Self(Arc::new(Shared {
            breakers: papaya::HashMap::new(),
            template: Box::new(template),
            disabled: Mutex::new(false),
        }))
    }

    /// The registry of the process, for those who share one.
    pub fn global() -> &'static Self {
        static GLOBAL: OnceLock<Registry> = OnceLock::new();
        GLOBAL.get_or_init(Registry::new)
    }

    /// The breaker of this name, if there is one.
    pub fn get(&self, name: &str) -> Option<CircuitBreaker> {
        self.0.breakers.pin().get(name).cloned()
    }

    /// The breaker of this name with these settings; built if there is none.
    ///
    /// # Errors
    ///
    /// [`RegistryError::Conflict`] when the name is taken by a breaker with other settings, both of
    /// which it names; [`RegistryError::Config`] when the settings are not valid.
    #[expect(clippy::needless_pass_by_value, reason = "the caller hands its settings over")]
    pub fn get_or_create(
        &self,
        name: &str,
        config: CircuitBreakerConfig,
    ) -> Result<CircuitBreaker, RegistryError> {
        let breaker = match self.get(name) {
            Some(breaker) => breaker,
            None => self.insert(name, |builder| builder.config(config.clone()))?,
        };
        let (existing, requested) = breaker.config().differences(&config);
        if existing.is_empty() {
            Ok(breaker)
        } else {
            let name = name.into();
            Err(RegistryError::Conflict(RegistryConflict { name, existing, requested }))
        }
    }

    /// The breaker of this name; if there is none, one that is built by what `init` makes of its
    /// builder. When several threads come at once the first one wins, and all get its breaker.
    ///
    /// # Errors
    ///
    /// When the settings that `init` chose are not valid.
    pub fn get_or_init(
        &self,
        name: &str,
        init: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder,
    ) -> Result<CircuitBreaker, ConfigError> {
        match self.get(name) {
            Some(breaker) => Ok(breaker),
            None => self.insert(name, init),
        }
    }

    fn insert(
        &self,
        name: &str,
        init: impl FnOnce(CircuitBreakerBuilder) -> CircuitBreakerBuilder,
    ) -> Result<CircuitBreaker, ConfigError> {
        let name: Arc<str> = name.into();
        let builder = init((self.0.template)(CircuitBreaker::builder(name.clone())));
        // Under the lock the switch stands still, so that it reaches this breaker in one way or the other.
        let disabled = self.0.disabled.lock().unwrap_or_else(PoisonError::into_inner);
        let fresh = builder.start_disabled(*disabled).build()?;
        Ok(self.0.breakers.pin().get_or_insert(name, fresh).clone())
    }

    /// Takes the breaker of this name out; those who hold it keep it.
    pub fn remove(&self, name: &str) -> Option<CircuitBreaker> {
        let guard = self.0.breakers.guard();
        let removed = self.0.breakers.remove(name, &guard).cloned();
        // The map lets go of what it held in batches. Without this a removed breaker would stay alive, and
        // in the directory, until many more were removed.
        guard.flush();
        removed
    }

    /// All breakers, in no particular order. One that is added or removed meanwhile may or may not be
    /// among them.
    pub fn breakers(&self) -> Vec<CircuitBreaker> {
        self.0.breakers.pin().values().cloned().collect()
    }

    /// How many breakers there are.
    pub fn len(&self) -> usize {
        self.0.breakers.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.breakers.is_empty()
    }

    /// Disables every breaker, and every one that is added from now on: all calls pass.
    pub fn disable_all(&self) {
        self.switch(true, CircuitBreaker::disable);
    }

    /// [`disable_all`](Self::disable_all) at `now`.
    pub fn disable_all_at(&self, now: u64) {
        self.switch(true, |breaker| breaker.disable_at(now));
    }

    /// Enables every breaker that is disabled, by [`disable_all`](Self::disable_all) or by hand; each
    /// begins closed.
    pub fn enable_all(&self) {
        self.switch(false, CircuitBreaker::enable);
    }

    /// [`enable_all`](Self::enable_all) at `now`.
    pub fn enable_all_at(&self, now: u64) {
        self.switch(false, |breaker| breaker.enable_at(now));
    }

    fn switch(&self, disabled: bool, turn: impl Fn(&CircuitBreaker) -> Option<Transition>) {
        let mut switch = self.0.disabled.lock().unwrap_or_else(PoisonError::into_inner);
        *switch = disabled;
        for breaker in self.breakers() {
            turn(&breaker);
        }
    }

    /// Whether new breakers begin disabled.
    pub fn is_disabled(&self) -> bool {
        *self.0.disabled.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Default for Registry {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for Registry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Registry").field("len", &self.len()).finish_non_exhaustive()
    }
}
