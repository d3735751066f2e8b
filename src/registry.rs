//! Named instances, one per name.

use std::fmt;
use std::sync::{Arc, OnceLock};

use papaya::Guard;

use crate::breaker::{CircuitBreaker, CircuitBreakerBuilder, CircuitBreakerConfig};
use crate::error::{ConfigError, RegistryConflict, RegistryError};
use crate::sync::{AtomicBool, Ordering, fence};

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
    disabled: AtomicBool,
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
            disabled: AtomicBool::new(false),
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
        let builder = (self.0.template)(CircuitBreaker::builder(name.clone()));
        let fresh = init(builder).build()?;
        let breaker = self.0.breakers.pin().get_or_insert(name, fresh).clone();
        // SeqCst: pairs with the fence in `disable_all`; either the switch finds this breaker or this
        // thread finds the switch.
        fence(Ordering::SeqCst);
        if self.0.disabled.load(Ordering::Relaxed) {
            breaker.disable();
        }
        Ok(breaker)
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
        self.0.disabled.store(true, Ordering::Relaxed);
        // SeqCst: pairs with the fence in `insert`.
        fence(Ordering::SeqCst);
        for breaker in self.breakers() {
            breaker.disable();
        }
    }

    /// Enables every breaker that is disabled, by [`disable_all`](Self::disable_all) or by hand; each
    /// begins closed.
    pub fn enable_all(&self) {
        self.0.disabled.store(false, Ordering::Relaxed);
        for breaker in self.breakers() {
            breaker.enable();
        }
    }

    /// Whether new breakers begin disabled.
    pub fn is_disabled(&self) -> bool {
        self.0.disabled.load(Ordering::Relaxed)
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
