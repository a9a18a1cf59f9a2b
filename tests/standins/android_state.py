"""What devices of several Android versions say about themselves, in the forms of AOSP; no text of a real device.

Forms: `getprop` (toolbox/toybox), BatteryService.dumpInternal, ThermalManagerService.dumpInternal (Android 10 to 15),
PowerManagerService.dump.
"""

#: Android 14: a chip's name among the properties, an eight-core processor with three kinds of cores.
PROPERTIES = """\
[dalvik.vm.heapsize]: [512m]
[persist.sys.locale]: [en-US]
[ro.board.platform]: [exampleplatform]
[ro.boot.bootreason]: [reboot,shell
second line of a value]
[ro.build.fingerprint]: [example/standin/standin:14/AB1A.240101.001/1234567:user/release-keys]
[ro.build.version.release]: [14]
[ro.build.version.sdk]: [34]
[ro.hardware]: [standin]
[ro.product.cpu.abi]: [arm64-v8a]
[ro.product.cpu.abilist]: [arm64-v8a,armeabi-v7a,armeabi]
[ro.product.manufacturer]: [Example]
[ro.product.model]: [Stand in 7]
[ro.soc.manufacturer]: [Example]
[ro.soc.model]: [EX7000]
"""

BATTERY = """\
Current Battery Service state:
  AC powered: false
  USB powered: true
  Wireless powered: false
  Dock powered: false
  Max charging current: 500000
  Max charging voltage: 5000000
  Charge counter: 3900000
  status: 5
  health: 2
  present: true
  level: 100
  scale: 100
  voltage: 4405
  temperature: 274
  technology: Li-ion
"""

#: Android 7: no dock.
BATTERY_7 = """\
Current Battery Service state:
  AC powered: true
  USB powered: false
  Wireless powered: false
  Max charging current: 1500000
  Max charging voltage: 5000000
  Charge counter: 1201000
  status: 2
  health: 2
  present: true
  level: 9
  scale: 50
  voltage: 3712
  temperature: 391
  technology: Li-ion
"""

THERMAL = """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 2
\tkilled: false
\tbroadcasts count: -1
ThermalStatusListeners:
\tcallbacks: 3
\tkilled: false
\tbroadcasts count: -1
Thermal Status: 0
Cached temperatures:
\tTemperature{mValue=61.0, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=29.5, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
HAL Ready: true
HAL connection:
\tThermal HAL AIDL 1 connected: yes
Current temperatures from HAL:
\tTemperature{mValue=41.0, mType=0, mName=BIG, mStatus=0}
\tTemperature{mValue=38.5, mType=0, mName=LITTLE, mStatus=0}
\tTemperature{mValue=37.0, mType=1, mName=GPU, mStatus=0}
\tTemperature{mValue=27.4, mType=2, mName=battery, mStatus=0}
\tTemperature{mValue=30.25, mType=3, mName=VIRTUAL-SKIN, mStatus=0}
\tTemperature{mValue=NaN, mType=9, mName=TPU, mStatus=0}
Current cooling devices from HAL:
\tCoolingDevice{mValue=0, mType=2, mName=thermal-cpufreq-0}
Temperature static thresholds from HAL:
\tTemperatureThreshold{mType=3, mName=VIRTUAL-SKIN, mHotThrottlingThresholds=[NaN, 39.0, 43.0, 45.0, 47.0, 52.0, 55.0]}
"""

#: Android 10: nothing below the hardware's connection, a sensor that is not there, and a status that holds clocks down.
THERMAL_10_HOT = """\
IsStatusOverride: false
ThermalEventListeners:
\tcallbacks: 1
\tkilled: false
\tbroadcasts count: -1
Thermal Status: 2
Cached temperatures:
\tTemperature{mValue=0.0, mType=1, mName=GPU, mStatus=0}
\tTemperature{mValue=44.1, mType=3, mName=skin, mStatus=2}
HAL Ready: true
HAL connection:
\tThermalHAL 1.1 connected: yes
"""

POWER = """\
POWER MANAGER (dumpsys power)
Power Manager State:
  mWakefulness=Awake
  mWakefulnessChanging=false
Display Power: state=ON
"""

#: Governor, clock, its limit now, its best; kHz.
CORES = (
    *[("sched_pixel", 574000, 1803000, 1803000)] * 4,
    *[("sched_pixel", 553000, 2348000, 2348000)] * 2,
    *[("sched_pixel", 500000, 2850000, 2850000)] * 2,
)
